"""The OpenAI SDK in a loop of one's own: chat completions, or responses where CAPTURE_API says so."""

import json
import os

from rig import MODEL, PROMPT, STREAM, SYSTEM, TOOLS, root, run, telemetry

telemetry()

from openai import OpenAI

client = OpenAI()
by_name = {t.__name__: t for t in TOOLS}
parameters = {
    t.__name__: {"type": "object", "properties": {a: {"type": "string"} for a in t.__annotations__ if a != "return"}}
    for t in TOOLS
}


def called(name, arguments):
    try:
        return by_name[name](**json.loads(arguments))
    except TimeoutError as error:
        return f"Error: {error}"


def chat():
    tools = [{"type": "function", "function": {"name": n, "parameters": p}} for n, p in parameters.items()]
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]
    while True:
        if STREAM:
            with client.chat.completions.stream(
                model=MODEL, messages=messages, tools=tools, stream_options={"include_usage": True}
            ) as stream:
                answer = stream.get_final_completion()
        else:
            answer = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        message = answer.choices[0].message
        if not message.tool_calls:
            return
        asked = [
            {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
            for c in message.tool_calls
        ]
        messages.append({"role": "assistant", "content": None, "tool_calls": asked})
        for call in message.tool_calls:
            result = called(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def responses():
    tools = [{"type": "function", "name": n, "parameters": p} for n, p in parameters.items()]
    items = [{"role": "user", "content": PROMPT}]
    while True:
        answer = client.responses.create(model=MODEL, input=items, tools=tools, instructions=SYSTEM, stream=STREAM)
        if STREAM:
            answer = [event for event in answer if event.type == "response.completed"][-1].response
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return
        for c in calls:
            items.append({"type": "function_call", "call_id": c.call_id, "name": c.name, "arguments": c.arguments})
            items.append({"type": "function_call_output", "call_id": c.call_id, "output": called(c.name, c.arguments)})


with run("weather_agent"), root("weather_agent"):
    responses() if os.environ.get("CAPTURE_API") == "responses" else chat()
