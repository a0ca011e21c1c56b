"""Sample agents: scenarios as data, the player that exports them over OTLP, and a small agent to copy from."""
