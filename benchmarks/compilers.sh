#!/usr/bin/env bash
# Compiler x lab x points: the solutions of all C labs, judged with each compiler (no duels), sanitizers included.
#
#     benchmarks/compilers.sh gcc-12 /opt/gcc-9/usr/bin/gcc-9 …
#
# One that is not installed can be unpacked beside the system: for a package of this Debian or an older one, fetch it with
# all it depends on (apt-get --download-only with a state folder of its own) and `dpkg -x` everything into one folder;
# a newer one needs its own C library, so run this script in a tree of that release (`chroot`).
# A cell is "points of those judged"; what was not judged is named below the table, with the reason.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
labs=${LABS:-"ddp_lite gemm_cpu gemv_simd microbench mini_shell mmap_loader thread_pool"}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

printf '| compiler |'
printf ' %s |' $labs
printf '\n|---|'
printf -- '---:|%.0s' $labs
printf '\n'
for compiler in "$@"; do
    name=$("$compiler" --version | head -n 1)
    printf '| %s |' "$name"
    for lab in $labs; do
        CC=$compiler .venv/bin/python -m grader grade --no-duels --submission="solutions_hidden/$lab" \
            --json="$scratch/result.json" -- "$lab" >"$scratch/said" 2>&1 || true
        if [ -s "$scratch/result.json" ]; then
            .venv/bin/python - "$scratch" "$name" "$lab" <<'PYTHON'
import json, sys
from pathlib import Path

folder, compiler, lab = sys.argv[1:]
result = json.loads(Path(folder, "result.json").read_text())
print(f" {result['score']:g} of {result['judged_max']:g} |", end="", flush=True)
with Path(folder, "notes").open("a") as notes:
    for test in result["tests"]:
        if test["status"] != "passed" and test["max_points"]:
            print(f"- {compiler}, {lab}, {test['name']}: {test['status']}: {test['message'][:200]}", file=notes)
PYTHON
        else
            printf ' %s |' "$(tail -n 1 "$scratch/said" | cut -c1-60)"
        fi
        rm -f "$scratch/result.json"
    done
    printf '\n'
done
[ ! -s "$scratch/notes" ] || { echo; cat "$scratch/notes"; }
