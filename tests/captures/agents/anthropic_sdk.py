"""The Anthropic SDK in a loop of one's own. No spans but the SDK's."""

from rig import PROMPT, STREAM, SYSTEM, TOOLS, root, run, telemetry

telemetry()

from anthropic import Anthropic

client, by_name = Anthropic(), {t.__name__: t for t in TOOLS}
tools = [
    {
        "name": t.__name__,
        "description": t.__doc__,
        "input_schema": {
            "type": "object",
            "properties": {a: {"type": "string"} for a in t.__annotations__ if a != "return"},
        },
    }
    for t in TOOLS
]
asked = {"model": "claude-sonnet-4-5", "max_tokens": 500, "system": SYSTEM, "tools": tools}


def main():
    messages = [{"role": "user", "content": PROMPT}]
    while True:
        if STREAM:
            with client.messages.stream(messages=messages, **asked) as stream:
                answer = stream.get_final_message()
        else:
            answer = client.messages.create(messages=messages, **asked)
        calls = [b for b in answer.content if b.type == "tool_use"]
        if not calls:
            return
        messages.append({"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in answer.content]})
        results = []
        for c in calls:
            try:
                result = {"content": by_name[c.name](**c.input)}
            except TimeoutError as error:
                result = {"content": f"Error: {error}", "is_error": True}
            results.append({"type": "tool_result", "tool_use_id": c.id} | result)
        messages.append({"role": "user", "content": results})


with run("weather_agent"), root("weather_agent"):
    main()
