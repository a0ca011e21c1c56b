"""Dialects of agent telemetry: tables of what each emitter's attributes mean, and the engine that applies them."""
