"""The google-genai SDK in a loop of one's own. No spans but the SDK's."""

from rig import PROMPT, STREAM, SYSTEM, TOOLS, root, run, telemetry

telemetry()

from google import genai
from google.genai import types

client, by_name = genai.Client(), {t.__name__: t for t in TOOLS}
declared = [types.FunctionDeclaration.from_callable(client=client._api_client, callable=t) for t in TOOLS]
config = types.GenerateContentConfig(
    system_instruction=SYSTEM,
    tools=[types.Tool(function_declarations=declared)],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def main():
    contents = [types.Content(role="user", parts=[types.Part(text=PROMPT)])]
    while True:
        asked = {"model": "gemini-2.5-flash", "contents": contents, "config": config}
        if STREAM:
            *_, answer = client.models.generate_content_stream(**asked)
        else:
            answer = client.models.generate_content(**asked)
        if not answer.function_calls:
            return
        contents.append(answer.candidates[0].content)
        for call in answer.function_calls:
            try:
                result = {"result": by_name[call.name](**call.args)}
            except TimeoutError as error:
                result = {"error": str(error)}
            contents.append(
                types.Content(role="user", parts=[types.Part.from_function_response(name=call.name, response=result)])
            )


with run("weather_agent"), root("weather_agent"):
    main()
