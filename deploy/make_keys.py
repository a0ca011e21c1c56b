"""Writes the two secrets that docker-compose.yml mounts, once; what is there already stays."""

import secrets
from pathlib import Path


def main() -> None:
    """Write deploy/secrets/ingest_key and admin_token."""
    folder = Path(__file__).parent / "secrets"
    for name in ("ingest_key", "admin_token"):
        file = folder / name
        if not file.exists():
            file.write_text(secrets.token_urlsafe(32) + "\n")
            file.chmod(0o444)  # the container's user is not the one who writes it
        print(file)


if __name__ == "__main__":
    main()
