// What every recorded agent of Node uses: its scenario, and tools that log what they do.
import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";

export const SCENARIO = process.env.CAPTURE_SCENARIO;
export const STREAM = SCENARIO === "streaming";
export const MODEL = "gpt-4o-mini";
export const SYSTEM = "You are a careful assistant who always uses the tools at hand.";
export const PROMPT = {
  simple: "How is the weather in Paris, and how many people live there?",
  loop8: "Look up order A-1041 until it has been shipped, please.",
  tool_error: "Fetch the report at https://example.com/report for me, please.",
  streaming: "How is the weather in Paris right now, please?",
  multi_agent: "Ask the researcher about the weather in Paris, please.",
  fatal: "How is the weather in Paris, and what shall I wear?",
}[SCENARIO];

// A package of this set's own environment: ES modules do not look at NODE_PATH.
export const load = createRequire(process.env.NODE_PATH + "/");

const note = (entry) => appendFileSync(process.env.CAPTURE_LOG, JSON.stringify(entry) + "\n");

let tries = 0;
const does = {
  get_weather: ({ city }) => `The weather in ${city} is sunny with twenty degrees.`,
  get_population: ({ city }) => `Two million people live in ${city} at present.`,
  lookup_order: ({ order_id }) => `Order ${order_id} is still waiting in the warehouse.`,
  flaky_fetch: ({ url }) => {
    tries += 1;
    if (tries < 3) throw new Error(`upstream timed out in attempt ${tries}`);
    return `The page at ${url} says that all is well.`;
  },
};

export function logged(name, tool) {
  return async (args, ...rest) => {
    try {
      const result = await tool(args, ...rest);
      note({ tool: name, args, outcome: "ok" });
      return result;
    } catch (error) {
      note({ tool: name, args, outcome: "error", error: String(error) });
      throw error;
    }
  };
}

const offered = { simple: ["get_weather", "get_population"], loop8: ["lookup_order"], tool_error: ["flaky_fetch"] };
const argument = { lookup_order: "order_id", flaky_fetch: "url" };
export const TOOLS = (offered[SCENARIO] ?? ["get_weather"]).map((name) => ({
  name,
  description: `Does what ${name.replace("_", " ")} says.`,
  argument: argument[name] ?? "city",
  call: logged(name, does[name]),
}));

// One execution of an agent and of those below it; `tool`: the framework's own by which another agent is asked.
export async function run(agent, others, what, tool) {
  if (tool && others.length) note({ tool, args: {}, outcome: "ok" });
  try {
    await what();
    note({ run: agent, agents: others, failed: false });
  } catch (error) {
    note({ run: agent, agents: others, failed: true, error: String(error).slice(0, 200) });
  }
}
