// Vercel's AI SDK 4 to 7 with its own telemetry; the lead asks a researcher who is a tool.
import { logged, load, MODEL, PROMPT, run, SCENARIO, STREAM, SYSTEM, TOOLS } from "./rig.mjs";

const { NodeSDK } = load("@opentelemetry/sdk-node");
const { OTLPTraceExporter } = load("@opentelemetry/exporter-trace-otlp-proto");
const sdk = new NodeSDK({ serviceName: process.env.CAPTURE_SET, traceExporter: new OTLPTraceExporter() });
sdk.start();

const ai = load("ai");
const { createOpenAI } = load("@ai-sdk/openai");
const { z } = load("zod");
const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, compatibility: "strict" });
const model = process.env.CAPTURE_API === "responses" ? openai.responses(MODEL) : openai.chat(MODEL);
const major = Number(load("ai/package.json").version.split(".")[0]);
if (major >= 7) {
  const telemetry = load("@ai-sdk/otel");
  ai.registerTelemetry(new telemetry.OpenTelemetry());
}

function made(name, description, argument, execute) {
  const schema = z.object({ [argument]: z.string() });
  return { [name]: ai.tool({ description, parameters: schema, inputSchema: schema, execute }) };
}

async function ask(functionId, prompt, tools) {
  const telemetry = { isEnabled: true, functionId };
  const asked = {
    model, system: SYSTEM, instructions: SYSTEM, prompt, tools, maxRetries: 2, maxSteps: 12, experimental_telemetry: telemetry, telemetry,
    ...(ai.stepCountIs ? { stopWhen: ai.stepCountIs(12) } : {}), ...(ai.isStepCount ? { stopWhen: ai.isStepCount(12) } : {}),
  };
  if (major >= 7) delete asked.system; else delete asked.instructions;
  if (!STREAM) return (await ai.generateText(asked)).text;
  const answer = ai.streamText(asked);
  for await (const _ of answer.textStream);
}

const tools = Object.assign({}, ...TOOLS.map((t) => made(t.name, t.description, t.argument, t.call)));
const lead = SCENARIO === "multi_agent";
const research = logged("ask_researcher", ({ question }) => ask("researcher", question, tools));
await run(lead ? "lead_agent" : "weather_agent", lead ? ["researcher"] : [], () =>
  lead
    ? ask("lead_agent", PROMPT, made("ask_researcher", "Ask the researcher.", "question", research))
    : ask("weather_agent", PROMPT, tools),
);
await sdk.shutdown();
