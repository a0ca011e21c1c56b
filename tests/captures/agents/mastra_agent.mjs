// Mastra's agent with its own tracing, sent by its exporter; the lead has a researcher as sub-agent.
import { load, MODEL, PROMPT, run, SCENARIO, STREAM, SYSTEM, TOOLS } from "./rig.mjs";

const { Agent } = load("@mastra/core/agent");
const { Mastra } = load("@mastra/core");
const { createTool } = load("@mastra/core/tools");
const { Observability } = load("@mastra/observability");
const { OtelExporter } = load("@mastra/otel-exporter");
const { createOpenAI } = load("@ai-sdk/openai");
const { z } = load("zod");

const model = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL }).chat(MODEL);
const tools = Object.fromEntries(
  TOOLS.map((t) => [
    t.name,
    createTool({
      id: t.name,
      description: t.description,
      inputSchema: z.object({ [t.argument]: z.string() }),
      execute: (input) => t.call(input),
    }),
  ]),
);
const lead = SCENARIO === "multi_agent";
const name = lead ? "researcher" : "weather_agent";
const worker = new Agent({ id: name, name, description: "knows the weather", instructions: SYSTEM, model, tools });
const head = new Agent({ id: "lead_agent", name: "lead_agent", instructions: SYSTEM, model, agents: { researcher: worker } });
const exporter = new OtelExporter({
  provider: { custom: { endpoint: process.env.OTEL_EXPORTER_OTLP_ENDPOINT + "/v1/traces", protocol: "http/protobuf" } },
});
const mastra = new Mastra({
  logger: false,
  agents: lead ? { lead_agent: head } : { weather_agent: worker },
  observability: new Observability({
    configs: { otel: { serviceName: process.env.CAPTURE_SET, exporters: [exporter] } },
  }),
});
const agent = mastra.getAgent(lead ? "lead_agent" : "weather_agent");
await run(lead ? "lead_agent" : "weather_agent", lead ? ["researcher"] : [], async () => {
  if (!STREAM) return agent.generate(PROMPT, { maxSteps: 12 });
  const answer = await agent.stream(PROMPT, { maxSteps: 12 });
  for await (const _ of answer.textStream);
}, "agent-researcher");
await mastra.shutdown();
process.exit(0);
