#!/bin/sh
# Puts the programs that tests start for real under .deps/bin: alertmanager, amtool, prometheus, promtool.
# They come from Debian's packages, unpacked rather than installed, so that no service starts and nothing
# outside the checkout changes. Chromium stays a system package: the script only says whether it is there.
# Runs again at no cost; needs apt-get and dpkg, no root (except to refresh stale package lists).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
deps=$root/.deps
missing=
for pair in prometheus-alertmanager:prometheus-alertmanager prometheus:promtool; do
    [ -x "$deps/bin/${pair#*:}" ] || missing="$missing ${pair%:*}"
done
if [ -n "$missing" ]; then
    mkdir -p "$deps/bin" "$deps/unpacked"
    cd "$deps/unpacked"
    # shellcheck disable=SC2086
    apt-get download -q $missing || { apt-get update -q && apt-get download -q $missing; }
    for package in ./*.deb; do
        dpkg -x "$package" .
        rm "$package"
    done
    for program in usr/bin/*; do
        ln -sf "../unpacked/$program" "$deps/bin/"
    done
    ln -sf prometheus-alertmanager "$deps/bin/alertmanager"
fi
"$deps/bin/alertmanager" --version 2>&1 | head -n 1
"$deps/bin/promtool" --version 2>&1 | head -n 1
if [ -x /usr/bin/chromium ]; then
    echo "chromium: /usr/bin/chromium"
else
    echo "chromium is missing: the page tests need it (apt-get install chromium)" >&2
    exit 1
fi
