#!/usr/bin/env bash
# target.sh VENV: says what an environment there is to be for, gpu (boards) or cpu: what STARWATT_TARGET says; else what its
# set-up was told; else gpu where nvidia-smi answers; else what it is for already; else cpu. So an environment that was
# made where no board was seen becomes one for boards where they are, and none becomes one for the CPU by itself.
set -euo pipefail
venv=${1:?usage: target.sh VENV}

case ${STARWATT_TARGET:-} in
gpu | cpu) echo "$STARWATT_TARGET"; exit ;;
"") ;;
*) echo "STARWATT_TARGET is gpu or cpu, not $STARWATT_TARGET" >&2; exit 2 ;;
esac
[ -s "$venv/.starwatt-told" ] && exec cat "$venv/.starwatt-told"
if command -v nvidia-smi >/dev/null; then
    if said=$(nvidia-smi 2>&1); then
        echo gpu
        exit
    fi
    echo "set-up: nvidia-smi is here but fails: $(head -n 1 <<<"$said") (with STARWATT_TARGET=gpu this is set up for boards)" >&2
fi
if compgen -G "$venv/lib/python*/site-packages/vllm-[0-9]*.dist-info" >/dev/null; then echo gpu; else echo cpu; fi
