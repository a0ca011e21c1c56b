"""boto3 for Bedrock's Converse in a loop of one's own. No spans but the SDK's."""

from rig import PROMPT, SYSTEM, TOOLS, root, run, telemetry

telemetry()

import boto3
from botocore.config import Config

client = boto3.client("bedrock-runtime", region_name="us-east-1", config=Config(retries={"max_attempts": 4}))
by_name = {t.__name__: t for t in TOOLS}


def spec(t):
    properties = {a: {"type": "string"} for a in t.__annotations__ if a != "return"}
    schema = {"type": "object", "properties": properties}
    return {"toolSpec": {"name": t.__name__, "description": t.__doc__, "inputSchema": {"json": schema}}}


def main():
    messages = [{"role": "user", "content": [{"text": PROMPT}]}]
    while True:
        answer = client.converse(
            modelId="anthropic.claude-sonnet-4-5-20250929-v1:0",
            system=[{"text": SYSTEM}],
            messages=messages,
            toolConfig={"tools": [spec(t) for t in TOOLS]},
        )
        message = answer["output"]["message"]
        if answer["stopReason"] != "tool_use":
            return
        messages.append(message)
        results = []
        for call in (b["toolUse"] for b in message["content"] if "toolUse" in b):
            try:
                result = {"content": [{"text": by_name[call["name"]](**call["input"])}]}
            except TimeoutError as error:
                result = {"content": [{"text": f"Error: {error}"}], "status": "error"}
            results.append({"toolResult": {"toolUseId": call["toolUseId"]} | result})
        messages.append({"role": "user", "content": results})


with run("weather_agent"), root("weather_agent"):
    main()
