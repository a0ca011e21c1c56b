// The real Gemini CLI, asked once without a person; the scenario's tools are behind MCP.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROMPT, run } from "./rig.mjs";

const home = mkdtempSync(join(process.env.CAPTURE_WORK, "gemini-"));
const server = {
  command: process.env.CAPTURE_PYTHON,
  args: [join(process.env.CAPTURE_WORK, "scripts", "mcp_server.py")],
  env: { ...process.env, CAPTURE_SETUP: "nothing" },
  trust: true,
};
mkdirSync(join(home, ".gemini"));
const settings = {
  mcpServers: { weather: server },
  security: { auth: { selectedType: "gemini-api-key" }, folderTrust: { enabled: false } },
  telemetry: {
    enabled: true,
    target: "local",
    otlpEndpoint: process.env.OTEL_EXPORTER_OTLP_ENDPOINT,
    otlpProtocol: "http",
    logPrompts: true,
    traces: true,
  },
  privacy: { usageStatisticsEnabled: false },
  general: { disableAutoUpdate: true },
};
writeFileSync(join(home, ".gemini", "settings.json"), JSON.stringify(settings));
await run("gemini-cli", [], async () => {
  const cli = join(process.env.NODE_PATH, ".bin", "gemini");
  const asked = ["--model", "gemini-2.5-flash", "--yolo", "--prompt", PROMPT];
  const ended = spawnSync(cli, asked, {
    cwd: home,
    env: { ...process.env, HOME: home, GEMINI_CLI_HOME: home, GEMINI_CLI_TRUST_WORKSPACE: "true" },
    encoding: "utf8",
    timeout: 100_000,
  });
  console.log(ended.stdout, ended.stderr);
  if (ended.status !== 0) throw new Error(`exit ${ended.status}`);
});
