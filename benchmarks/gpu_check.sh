#!/bin/bash
# Proves the labs that need a GPU on this machine, and prints what docs/measurements/ keeps.
#
#   benchmarks/gpu_check.sh                          in four minutes: what matters most of both labs
#   benchmarks/gpu_check.sh all                      both labs: solution, starter, rungs, mutants, cheats
#   RUNS=5 benchmarks/gpu_check.sh gemm_tensor_core  one lab, its solution five times
#   ONLY=mutants benchmarks/gpu_check.sh all         one kind, or one by name
#
# PYTHON names the interpreter that has the grader's packages and CuPy. OUT names a folder for the details. Ends with 1
# when a lab does not prove itself.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${OUT:-$(mktemp -d)}
status=0
started=$SECONDS

machine() {
    date -u '+%F %H:%M UTC'
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks_throttle_reasons.active --format=csv,noheader
    "$python" -c 'from grader.toolchain import nvcc; print(nvcc.find().version, nvcc.code_for(nvcc.architecture()))'
    "$python" -c 'import cupy; print("CuPy", cupy.__version__)'
}

# step NAME COMMAND...: its output goes to a file of that name; here only whether it succeeded, and its last lines.
step() {
    local name=$1 left=$((235 - SECONDS + started)) began=$SECONDS
    shift
    if [ "$left" -lt 5 ]; then
        echo "-- $name: no time left"
        status=1
        return
    fi
    if timeout "$left" "$@" > "$out/$name.txt" 2>&1; then
        echo "ok $name ($((SECONDS - began)) s)"
    else
        echo "NO $name ($((SECONDS - began)) s), ended with $?"
        status=1
    fi
    grep -v '^[[:space:]]*$' "$out/$name.txt" | tail -n "${LINES_SHOWN:-6}" | cut -c1-180
}

whole() {
    for lab in "$@"; do
        echo "== $lab"
        "$python" -m grader lab check "$lab" --runs "${RUNS:-1}" ${ONLY:+--only "$ONLY"} || status=1
    done
}

# The solution with a kernel in front of it that uses TMA and wgmma, which only a GPU of capability 9.0 has.
hopper() {
    local folder
    folder=$(mktemp -d)
    chmod 755 "$folder"
    { cat benchmarks/hopper.cuh; sed 's/^int tc_sgemm_smem(/static int without(/' solutions_hidden/gemm_tensor_core/tcgemm.cu
      cat <<'END'
int tc_sgemm_smem(size_t m, size_t n, size_t k, float alpha, const float *d_A, size_t lda, const float *d_B, size_t ldb,
                  float beta, float *d_C, size_t ldc, cudaStream_t s)
{
    static const int tried = hopper::check();
    return tried ? tried : without(m, n, k, alpha, d_A, lda, d_B, ldb, beta, d_C, ldc, s);
}
END
    } > "$folder/tcgemm.cu"
    "$python" -m grader grade gemm_tensor_core -s "$folder" --no-duels --reveal --no-history --json "$folder/r.json" \
        -t "single precision products"
    "$python" - "$folder/r.json" <<'END'
import json, sys
tests = [t for t in json.load(open(sys.argv[1]))["tests"] if t["id"] != "build"]
print([(t["id"], t["status"], t["message"]) for t in tests])
sys.exit(not tests or any(t["status"] != "passed" for t in tests))
END
}

if [ $# -gt 0 ]; then
    machine
    [ "$1" = all ] && set -- cuda_reduce_transpose gemm_tensor_core
    whole "$@"
    exit $status
fi

export -f hopper
export python
check() { step "$1-$2" "$python" -m grader lab check "$1" --runs 1 --quick --only "$2"; }

machine
step kernel "$python" -c '
import sys
from grader.toolchain import gpu_trial
print(gpu_trial.why_not() or "a kernel runs"); sys.exit(bool(gpu_trial.why_not()))'
step other_gpus_code "$python" -c '
import sys
from grader.toolchain import gpu_trial, nvcc
nvcc.architecture = lambda: "sm_100"  # what no other GPU runs
gpu_trial.cache.key = lambda *pieces, key=gpu_trial.cache.key: key("other", *pieces)
print(gpu_trial.why_not()); sys.exit("cudaError_t 209" not in gpu_trial.why_not())'
step clock "$python" -c '
import sys
from grader.sandbox import gpu
from grader.timing import gpu_clocks
reading = gpu_clocks.reader(gpu.present().uuid)()
print(reading); sys.exit(reading is None)'
LINES_SHOWN=2 step hopper bash -c hopper
for mutant in m49_looks_ahead_past_the_end m50_large_sums_in_any_order; do check cuda_reduce_transpose $mutant; done
for mutant in m50_looks_ahead_past_the_end m51_very_long_k_in_any_order; do check gemm_tensor_core $mutant; done
LINES_SHOWN=30 check cuda_reduce_transpose solution
LINES_SHOWN=30 step gemm_tensor_core-solution "$python" -m grader grade gemm_tensor_core --no-history \
    -s solutions_hidden/gemm_tensor_core --json "$out/gemm.json"
"$python" - "$out/gemm.json" <<'END' || status=1
import json, sys
result = json.load(open(sys.argv[1]))
lost = [t for t in result["tests"] if t["status"] != "passed" and t["category"] != "performance"]
print(result["score"], "of", result["judged_max"], "judged", [(t["id"], t["status"], t["message"]) for t in lost])
for duel in result["duels"]:
    print(duel["id"], duel["ratio"], duel["interval"], duel["verdict"], duel["reason"], duel["rounds"], "rounds")
    for case in duel["cases"]:
        print("   ", case["name"], round(case["ratio"], 3), round(case["submission_rate"]), round(case["reference_rate"]))
sys.exit(bool(lost))
END
exit $status
