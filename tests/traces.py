"""The rows of one synthetic trace: spans, calls, findings and the run that sums them up."""

import random
from dataclasses import dataclass, field
from typing import Any

SECOND = 10**9
HOUR = 3600 * SECOND

PRICES_PUSD = {  # 10^-12 USD a token, input and output; a model that is not here has no price
    "gpt-5-mini": (250_000, 2_000_000),
    "gpt-5.2": (1_750_000, 14_000_000),
    "claude-sonnet-4-5": (3_000_000, 15_000_000),
    "gemini-3-flash": (300_000, 2_500_000),
}
PROVIDERS = {"gpt": "openai", "claude": "anthropic", "gemini": "gcp.gemini", "acme": "self-hosted"}


@dataclass
class Rows:
    """Rows by table, and the interning of descriptions."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ids: dict[tuple[str, tuple[Any, ...]], int] = field(default_factory=dict)

    def add(self, table: str, **values: Any) -> dict[str, Any]:
        self.tables.setdefault(table, []).append(values)
        return values

    def intern(self, table: str, key: str, **values: Any) -> int:
        """The id of a description; the row is added the first time."""
        identity = (table, tuple(sorted(values.items(), key=lambda item: item[0])))
        if identity not in self.ids:
            self.ids[identity] = len(self.tables.get(table, ())) + 1
            self.add(table, **{key: self.ids[identity]}, **values)
        return self.ids[identity]


@dataclass
class Trace:
    """One run while it is written: a clock that spans advance, and what they add up to."""

    rows: Rows
    rng: random.Random
    number: int
    start_ns: int
    tenant: str
    agent: str
    model: str
    environment: str = "production"
    user: str = "u-17"
    now_ns: int = 0
    step: int = 0
    last_ns: int = 0
    spans: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    denied_rules: int = 0
    checks: int = 0

    def __post_init__(self) -> None:
        self.hi, self.lo = self.rng.getrandbits(63), self.rng.getrandbits(63)
        self.now_ns = self.start_ns
        self.batch = self.start_ns // 10**6 + 30_000
        self.session = f"session-{self.number // 3}"

    def span(self, kind: str, name: str, parent: int | None, duration_ns: int = 0, **values: Any) -> dict[str, Any]:
        """Add a span at the trace's clock; `facet` values go to its facet."""
        facet = {"status": "ok", "mapping": "exact", "span_kind": "internal", "dialect": "spanledger"}
        facet |= values.pop("facet", {})
        row = {
            "batch": self.batch,
            "trace_hi": self.hi,
            "trace_lo": self.lo,
            "span_id": self.rng.getrandbits(63),
            "parent_id": parent,
            "start_ns": self.now_ns,
            "duration_ns": duration_ns,
            "facet": self.rows.intern("facets", "facet", kind=kind, name=name, **facet),
            "identity": self.rows.intern(
                "identities",
                "identity",
                tenant=self.tenant if parent is None else None,
                user=self.user if parent is None else None,
                session=self.session if parent is None else None,
            ),
            "source": self.rows.intern(
                "sources",
                "source",
                ingest_tenant=None,
                service=f"{self.agent[:20]}-svc",
                service_version="1.4.2",
                environment=self.environment,
                scope="demo",
                sdk="python 1.45.2",
            ),
            "flags": 0,
        }
        self.spans.append(row | values)
        self.last_ns = max(self.last_ns, self.now_ns + duration_ns)
        return self.spans[-1]

    def call(self, span: dict[str, Any], kind: str, **values: Any) -> dict[str, Any]:
        """Book the span as a model or tool call."""
        group = {k: values.pop(k, None) for k in ("provider", "model", "tool", "tool_server")}
        row = {
            "trace_hi": self.hi,
            "trace_lo": self.lo,
            "run_span": 0,
            "span_id": span["span_id"],
            "call_group": self.rows.intern(
                "call_groups",
                "call_group",
                kind=kind,
                dialect="spanledger",
                tenant=self.tenant,
                agent=self.agent,
                agent_version="2.1",
                service=f"{self.agent[:20]}-svc",
                service_version="1.4.2",
                environment=self.environment,
                **group,
            ),
            "start_ns": span["start_ns"],
            "duration_ns": span["duration_ns"],
            "step": self.step,
            "status": "ok",
            "derived": False,
            "aggregate": False,
            "user": self.user,
            "session": self.session,
            "pricing": "none",
            "wasted_pusd": 0,
            "avoided_pusd": 0,
        }
        self.calls.append(row | values)
        return self.calls[-1]

    def llm(self, parent: int, *, status: str = "ok", usage: bool = True, model: str | None = None) -> dict[str, Any]:
        """A model call: priced if its model has a price and it reports usage."""
        model = model or self.model
        provider = next((p for prefix, p in PROVIDERS.items() if model.startswith(prefix)), "self-hosted")
        duration = self.rng.randint(400, 4200) * 10**6
        tokens: dict[str, Any] = {}
        if usage:
            prompt = self.rng.randint(900, 4000) + 1800 * min(self.step, 12)
            tokens = {
                "input_tokens": prompt,
                "output_tokens": self.rng.randint(60, 900),
                "cache_read_tokens": prompt // 3 if self.step > 1 else 0,
                "cache_write_tokens": 0,
                "reasoning_tokens": self.rng.randint(0, 50),
            }
        facet = {"model": model, "request_model": model, "provider": provider, "status": status}
        if status == "error":
            facet |= {"error_type": "RateLimitError", "error_reason": "upstream_rate_limited", "http_status": "429"}
        span = self.span(
            "llm.call", f"chat {model}", parent, duration, facet=facet, first_token_ns=duration // 4, **tokens
        )
        money: dict[str, Any] = {"pricing": "unknown" if not usage else "unpriced"}
        if usage and (price := PRICES_PUSD.get(model)):
            cost = price[0] * tokens["input_tokens"] + price[1] * tokens["output_tokens"]
            money = {"pricing": "priced", "cost_pusd": cost, "booked_pusd": cost}
            money |= dict.fromkeys(("price_version", "booked_version"), "genai-prices 0.2.3")
        reason = facet.get("error_reason")
        self.step += 1
        self.now_ns += duration
        return self.call(
            span, "llm.call", provider=provider, model=model, status=status, error_reason=reason, **tokens, **money
        )

    def tool(self, parent: int, tool: str, *, status: str = "ok", server: str | None = None, args: int = 0) -> int:
        """A tool call with a dependency below it; returns its span id."""
        duration = self.rng.randint(30, 1900) * 10**6
        facet = {"tool": tool, "tool_server": server, "status": status, "tool_class": "read"}
        if status == "error":
            facet |= {"error_type": "TimeoutError", "error_reason": "timeout"}
        span = self.span(
            "tool.call",
            f"execute_tool {tool}",
            parent,
            duration,
            facet=facet,
            args_bytes=self.rng.randint(20, 400),
            result_bytes=self.rng.randint(100, 20_000),
            args_hash=args or self.rng.getrandbits(63),
            result_hash=self.rng.getrandbits(63),
        )
        if server:
            self.span(
                "other",
                f"POST https://{server}.internal/call",
                span["span_id"],
                duration * 4 // 5,
                facet={"span_kind": "client", "dependency": f"{server}.internal", "dialect": "http"},
            )
        self.now_ns += duration
        self.call(
            span, "tool.call", tool=tool, tool_server=server, status=status, error_reason=facet.get("error_reason")
        )
        return int(span["span_id"])

    def check(self, parent: int, decision: str = "allow") -> None:
        """A policy check."""
        self.checks += 1
        self.denied_rules += decision == "deny"
        facet = {"rule_id": "no-external-mail", "decision": decision, "status": "ok"}
        if decision == "deny":
            facet |= {"reason_code": "recipient_outside_tenant"}
        self.span("policy.check", "policy.check", parent, 4 * 10**6, facet=facet)
        self.now_ns += 4 * 10**6

    def finish(self, status: str, *, root: str, error_reason: str | None = None, **values: Any) -> None:
        """Write the spans and calls, and the run's row that sums them up."""
        calls, spans = self.calls, self.spans
        llm = [c for c in calls if c["pricing"] != "none"]
        tools = [c for c in calls if c["pricing"] == "none"]
        priced = [c for c in llm if c["pricing"] == "priced"]
        cost = sum(c["cost_pusd"] for c in priced)
        totals = {
            name: sum(c.get(name) or 0 for c in calls)
            for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
        }
        run = {
            "run_id": f"{self.hi:016x}{self.lo:016x}",
            "trace_hi": self.hi,
            "trace_lo": self.lo,
            "run_span": 0,
            "trace_ids": [f"{self.hi:016x}{self.lo:016x}"],
            "root_name": root,
            "agent": self.agent,
            "agents": self.agents,
            "agent_version": "2.1",
            "tenant": self.tenant,
            "user": self.user,
            "session": self.session,
            "environment": self.environment,
            "service": f"{self.agent[:20]}-svc",
            "service_version": "1.4.2",
            "dialect": "spanledger",
            "status": status,
            "error_reason": error_reason,
            "started_ns": self.start_ns,
            "ended_ns": self.last_ns,
            "first_ns": self.start_ns,
            "first_batch": self.batch,
            "arrived_ns": self.last_ns + SECOND,
            "spans": len(spans),
            "steps": self.step,
            "llm_calls": len(llm),
            "llm_errors": sum(c["status"] == "error" for c in llm),
            "tool_calls": len(tools),
            "tool_errors": sum(c["status"] == "error" for c in tools),
            "tool_denied": sum(c["status"] == "denied" for c in tools),
            "derived_tool_calls": sum(c["derived"] for c in tools),
            "retries": 0,
            "policy_checks": self.checks,
            "policy_denials": self.denied_rules,
            "cost_pusd": cost if priced or not llm else None,
            "booked_pusd": cost if priced or not llm else None,
            "wasted_pusd": sum(c["wasted_pusd"] for c in calls),
            "avoided_pusd": 0,
            "priced_calls": len(priced),
            "unpriced_calls": sum(c["pricing"] == "unpriced" for c in llm),
            "unknown_calls": sum(c["pricing"] == "unknown" for c in llm),
            "priced_tokens": sum(c["input_tokens"] + c["output_tokens"] for c in priced),
            "findings": 0,
            "quarantined": 0,
            "sampled": False,
        }
        self.rows.tables.setdefault("span_log", []).extend(spans)
        self.rows.tables.setdefault("calls", []).extend(calls)
        self.rows.add("runs", **(run | totals | values))

    def finding(
        self, rule: str, severity: str, spans: list[int], subject: str, wasted: int, sentence: str, action: str
    ) -> None:
        """A finding of this run."""
        self.rows.add(
            "findings",
            finding_id=f"{rule}-{self.hi:016x}"[:32],
            trace_hi=self.hi,
            trace_lo=self.lo,
            run_span=0,
            run_id=f"{self.hi:016x}{self.lo:016x}",
            tenant=self.tenant,
            agent=self.agent,
            rule=rule,
            severity=severity,
            evidence="full",
            span_ids=spans,
            subject=subject,
            occurrences=len(spans),
            wasted_pusd=wasted,
            started_ns=self.start_ns,
            ended_ns=self.last_ns,
            sentence=sentence,
            action=action,
        )
