#!/bin/bash
# Proves the labs that need a GPU on this machine, and prints what docs/measurements/ keeps.
#
#   benchmarks/gpu_check.sh                          both labs: solution, starter, rungs, mutants, cheats
#   RUNS=5 benchmarks/gpu_check.sh gemm_tensor_core  one lab, its solution five times
#   ONLY=mutants benchmarks/gpu_check.sh             one kind, or one by name
#
# PYTHON names the interpreter that has the grader's packages and CuPy. Ends with 1 when a lab does not prove itself.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
date -u '+%F %H:%M UTC'
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks_throttle_reasons.active --format=csv,noheader
"$python" -c 'from grader.toolchain import nvcc; print(nvcc.find().version, nvcc.architecture())'
"$python" -c 'import cupy; print("CuPy", cupy.__version__)'
status=0
for lab in ${*:-cuda_reduce_transpose gemm_tensor_core}; do
    echo "== $lab"
    "$python" -m grader lab check "$lab" --runs "${RUNS:-1}" ${ONLY:+--only "$ONLY"} || status=1
done
exit $status
