#!/usr/bin/env bash
# apt-install.sh WITHOUT COMMANDS PACKAGES: installs Debian packages where one of their commands is missing, apt is there
# and this user may; otherwise says what is missing WITHOUT them, and the line that installs them. Starts no service, and
# never fails: what needs them says so itself.
set -u
PATH="$PATH:/usr/sbin:/sbin"
without=$1 commands=$2 packages=$3
have() { for command in $commands; do command -v "$command" >/dev/null || return 1; done; }
have && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    # Debian starts a service as it is installed, where a machine has services: nobody asked for these.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes; }
    # shellcheck disable=SC2086
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >/dev/null 2>&1
    [ "${made:-}" = yes ] && rm -f "$policy"
fi
have || echo "Without $packages: $without. To install: sudo apt-get install --no-install-recommends $packages"
exit 0
