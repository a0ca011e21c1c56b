"""OTLP bytes to columns and back. Pure: no I/O, no store, no dialect."""
