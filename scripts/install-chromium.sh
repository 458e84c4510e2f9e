#!/usr/bin/env bash
# Installs Debian's Chromium where apt is there and this user may; otherwise says the line that does. Never fails: without
# it the tests of the report in a browser are skipped, unless CI is set.
set -u
command -v chromium >/dev/null || command -v google-chrome >/dev/null && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1
fi
command -v chromium >/dev/null || echo "Chromium is missing: tests in a browser are skipped. To install it: sudo apt-get install chromium"
exit 0
