#!/usr/bin/env bash
# Installs Slurm (slurmctld, slurmd, munge; no service is started) where apt is there and this user may; otherwise says
# the line that does. Never fails: only the tests of `executor: slurm` and deploy/slurm/one-machine.sh need it.
set -u
have() { command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && command -v sbatch >/dev/null; }
packages="slurmctld slurmd slurm-client munge"
PATH="$PATH:/usr/sbin:/sbin"
have && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    # Debian starts a service as it is installed, where a machine has services: these would belong to no cluster.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes; }
    # shellcheck disable=SC2086
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >/dev/null 2>&1
    [ "${made:-}" = yes ] && rm -f "$policy"
fi
have || echo "Slurm is missing: its tests can't run. To install it: sudo apt-get install --no-install-recommends $packages"
exit 0
