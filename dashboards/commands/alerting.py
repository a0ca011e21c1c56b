"""Where the demo's alerts go: a real Alertmanager if there is one on PATH, else straight back to the Alerts page."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

PROGRAMS = ("prometheus-alertmanager", "alertmanager")
TOKEN_VARIABLE = "SPANLEDGER_DEMO_TOKEN"  # noqa: S105 - a name
STOP_S = 5


class Receiver:
    """Who receives the demo's alerts; all that it needs beyond the data folder is gone when it stops.

    `where` says in words where alerts go. An alerts.toml that is there already is left alone: alerts then go where
    that says.
    """

    def __init__(self, data: Path, port: int) -> None:
        self._file = data / "alerts.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self._own = not self._file.exists()
        if not self._own:
            self.where = f"Alerts go where {self._file} says"
            return
        self._folder = tempfile.TemporaryDirectory(prefix="spanledger-alertmanager-")
        self._program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        self._back = f"http://127.0.0.1:{port}/api/v1/alerts/webhook"
        self._token = os.environ[TOKEN_VARIABLE] = secrets.token_urlsafe(24)
        if self._program:
            self._port = free_port()
            self._write("alertmanager", f"http://127.0.0.1:{self._port}", "")
            self.where = f"Alerts go to Alertmanager at http://127.0.0.1:{self._port} and come back from it"
        else:
            self._write("webhook", self._back, f'token_env = "{TOKEN_VARIABLE}"\n')
            self.where = "Alerts go to the built-in receiver, for there is no Alertmanager on PATH"

    def start(self) -> None:
        """Start Alertmanager, in a process group of its own, where there is one."""
        if not self._own or not self._program:
            return
        folder = Path(self._folder.name)
        text = resources.files("sample_traces").joinpath("alertmanager.yml").read_text()
        config = folder / "alertmanager.yml"
        config.touch(mode=0o600)
        config.write_text(text.replace("ADDRESS\n", f"{self._back}\n").replace("TOKEN}", f"{self._token}}}"))
        arguments = (
            f"--config.file={config}",
            f"--storage.path={folder}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--cluster.listen-address=",
        )
        with (folder / "alertmanager.log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, *arguments], stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """End Alertmanager and remove what was written for it."""
        if not self._own:
            return
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._file.unlink(missing_ok=True)
        self._folder.cleanup()

    def _write(self, kind: str, url: str, more: str) -> None:
        target = f'[[targets]]\nname = "demo"\nkind = "{kind}"\nurl = "{url}"\n{more}'
        self._file.write_text(f'webhook_token_env = "{TOKEN_VARIABLE}"\n{target}')


def free_port() -> int:
    """A port of loopback that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
