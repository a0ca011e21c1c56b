"""Receives OTLP, normalises, protects and stores spans. Knows nothing of money or pages."""
