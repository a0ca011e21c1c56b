"""DSPy's ReAct through LiteLLM: tools are named in texts, which the fake model answers in DSPy's own form."""

from rig import MODEL, PROMPT, TOOLS, run, telemetry

telemetry()

import dspy

dspy.configure(lm=dspy.LM(f"openai/{MODEL}", cache=False))
agent = dspy.ReAct("question -> answer", tools=TOOLS)
with run("ReAct"):
    agent(question=PROMPT)
