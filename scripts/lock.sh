#!/usr/bin/env bash
# Compiles requirements/*.in into complete, pinned, hashed lists. Download addresses are never recorded: the indexes
# are those that this machine has configured. STARWATT_TORCH_LINKS names a folder or page with torch's CPU wheel; it
# counts for cpu.txt alone, or the GPU list would get that wheel too.
set -euo pipefail
cd "$(dirname "$0")/../requirements"
compile() {
    "${UV:-uv}" pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 \
        --python-platform x86_64-manylinux_2_28 --index-strategy unsafe-best-match "$@"
}
compile cpu.in -o cpu.txt --override overrides-cpu.txt ${STARWATT_TORCH_LINKS:+--find-links "$STARWATT_TORCH_LINKS"}
compile gpu.in -o gpu.txt --override overrides-gpu.txt
compile dev.in -o dev.txt
compile load.in -o load.txt --constraint cpu.txt
# torch's CPU build has a file of its own (see there).
python3 - <<'PY'
import pathlib, re
path = pathlib.Path("cpu.txt")
path.write_text(re.sub(r"^torch==[^\n]*\\\n(?:    --hash=[^\n]*\n?)+", "", path.read_text(), flags=re.M))
PY
