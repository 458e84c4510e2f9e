#!/usr/bin/env bash
# Installs bubblewrap where apt is there and this user may; otherwise says the line that does. Never fails:
# a study without it is complete but for pass@1.
set -u
command -v bwrap >/dev/null && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && apt-get install -y -qq bubblewrap; } >/dev/null 2>&1
fi
command -v bwrap >/dev/null || echo "bubblewrap is missing: pass@1 will be too. To install it: sudo apt-get install bubblewrap"
exit 0
