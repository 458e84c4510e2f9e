#!/usr/bin/env bash
# Installs Debian's Prometheus where apt is there and this user may; otherwise says the line that does. Never fails:
# without it the test of the dashboard is skipped, unless CI is set.
set -u
command -v prometheus >/dev/null && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus; } >/dev/null 2>&1
fi
command -v prometheus >/dev/null || echo "Prometheus is missing: the dashboard is not tested. To install it: sudo apt-get install prometheus"
exit 0
