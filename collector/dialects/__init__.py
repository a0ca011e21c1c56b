"""Dialects of agent telemetry: tables that say what each emitter's attributes mean, and the engine that applies them."""
