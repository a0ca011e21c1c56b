"""Ways in which programs set up their telemetry."""

import importlib
import os
from contextlib import contextmanager


def plain():
    """OpenTelemetry's SDK."""
    from opentelemetry import metrics, trace
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": os.environ["CAPTURE_SET"]})
    spans, logs = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    trace.set_tracer_provider(spans)
    set_logger_provider(logs)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[reader]))


def nothing():
    """No telemetry."""


def logfire(*instrumented):
    """Logfire, sending to an OTLP endpoint alone."""
    import logfire

    logfire.configure(send_to_logfire=False, console=False, service_name=os.environ["CAPTURE_SET"])
    for name in instrumented:
        getattr(logfire, f"instrument_{name}")()


def openlit():
    """OpenLIT, which finds by itself what is there."""
    import openlit

    openlit.init(application_name=os.environ["CAPTURE_SET"], otlp_endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])


def mlflow(*logged):
    """MLflow's autologging, its traces sent by OTLP."""

    os.environ["OTEL_SERVICE_NAME"] = os.environ["CAPTURE_SET"]
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
    for name in logged:
        importlib.import_module(f"mlflow.{name}").autolog()


@contextmanager
def root(agent):
    """A span around calls."""
    if os.environ.get("CAPTURE_SETUP", "").startswith("mlflow"):
        import mlflow

        with mlflow.start_span(agent, span_type="AGENT"):
            yield
        return
    from opentelemetry import trace

    told = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent}
    with trace.get_tracer("my.app").start_as_current_span(f"invoke_agent {agent}", attributes=told):
        yield
