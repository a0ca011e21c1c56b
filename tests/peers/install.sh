#!/bin/sh
# Puts the programs that tests start for real under .deps/bin: alertmanager, amtool, prometheus, promtool.
# They come from Debian's packages, unpacked rather than installed, so that no service starts. One thing lands
# outside the checkout: Debian's Alertmanager reads its two templates from /usr/share and from nowhere else.
# Chromium stays a system package: the script only says whether it is there.
# Runs again at no cost; needs apt-get and dpkg, and root the first time.
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
templates=/usr/share/prometheus/alertmanager
if [ ! -e "$templates/default.tmpl" ]; then
    mkdir -p "$templates" && cp "$deps/unpacked$templates/"*.tmpl "$templates/" || {
        echo "alertmanager needs $templates: sudo cp -r $deps/unpacked$templates ${templates%/*}" >&2
        exit 1
    }
fi
"$deps/bin/alertmanager" --version 2>&1 | head -n 1
"$deps/bin/promtool" --version 2>&1 | head -n 1
if [ -x /usr/bin/chromium ]; then
    echo "chromium: /usr/bin/chromium"
else
    echo "chromium is missing: the page tests need it (apt-get install chromium)" >&2
    exit 1
fi
