#!/bin/sh
# Puts the FOCUS validator into a virtual environment of its own, .deps/focus: its dependencies are older than ours.
# Newer pyarrow wants a numpy that it does not. It asks for Python 3.12 for the sake of a single f-string, which is written anew here for 3.11.
# Runs again at no cost. PYTHON names the interpreter (default: that of .venv, else python3).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=$root/.deps/focus
python=${PYTHON:-$root/.venv/bin/python}
[ -x "$python" ] || python=python3
if [ ! -e "$venv/done" ]; then
    "$python" -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check --ignore-requires-python focus-validator==2.2.1 "pyarrow<22"
    "$venv/bin/python" - <<'PYTHON'
import sysconfig
from pathlib import Path

file = Path(sysconfig.get_path("purelib"), "focus_validator", "config_objects", "focus_to_duckdb_converter.py")
text = file.read_text(encoding="utf-8")
old = r"""f"'{k.replace('\"', '\"\"')}'" for k in"""
new = r"""("'" + k.replace('"', '""') + "'") for k in"""
if old in text:
    file.write_text(text.replace(old, new), encoding="utf-8")
compile(file.read_text(encoding="utf-8"), str(file), "exec")
PYTHON
    touch "$venv/done"
fi
echo "focus-validator: $venv/bin/focus-validator"
