#!/bin/bash
# Builds every rung of the CUDA labs and benchmarks/cuda_ladder.cu, and runs the ladder on the GPU of this machine.
#
#   benchmarks/cuda_ladder.sh               all rungs of both labs
#   benchmarks/cuda_ladder.sh redtr         one lab; tcgemm is the other
#   ONLY=full benchmarks/cuda_ladder.sh     the rungs whose names match
#   SHAPES="128,128,32,64,64,4 256,128,32,64,64,4" benchmarks/cuda_ladder.sh tcgemm
#                                           the full solution once more with each of these as its big shape
#   SMALL_SHAPES="64,64,64,32,32,4"         the same for its small shape
#
# NVCC and ARCH override the compiler and the target (native: the GPU of this machine). COMPILE_ONLY=1 stops there.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
out=${BUILD:-$(mktemp -d)}
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
arch=${ARCH:-native}
labs=${*:-redtr tcgemm}
flags=(-O3 -std=c++17 -arch="$arch" -lineinfo -Werror all-warnings -Xcompiler -Wall,-Wextra,-fPIC)
mkdir -p "$out"
rungs=()

build() { # LAB NAME SOURCE INCLUDE
    if [[ ! $2 =~ ${ONLY:-.} ]]; then return; fi
    rungs+=("$1:$2:$out/$1_$2.so")
    "$nvcc" "${flags[@]}" -shared -I "$4" "$3" -o "$out/$1_$2.so" &
    if (($(jobs -r | wc -l) >= $(nproc))); then wait -n; fi
}

for lab in $labs; do
    case $lab in
    redtr) id=cuda_reduce_transpose ;;
    tcgemm) id=gemm_tensor_core ;;
    *) echo "$lab: redtr or tcgemm" >&2 && exit 2 ;;
    esac
    for folder in "$root/solutions_hidden/$id"/rungs/*/ "$root/solutions_hidden/$id/"; do
        [[ -f $folder/$lab.cu ]] || continue
        name=$(basename "$folder")
        [[ $name == "$id" ]] && name=full
        build "$lab" "$name" "$folder/$lab.cu" "$root/starter/$id"
    done
done
for kind in BIG SMALL; do
    list=SHAPES
    [[ $kind == SMALL ]] && list=SMALL_SHAPES
    for shape in ${!list:-}; do
        name=${kind,,}_${shape//,/_}
        printf '#define %s_SHAPE %s\n#include "%s"\n' "$kind" "$shape" "$root/solutions_hidden/gemm_tensor_core/tcgemm.cu" \
            >"$out/$name.cu"
        ONLY='' build tcgemm "$name" "$out/$name.cu" "$root/starter/gemm_tensor_core"
    done
done

cublas=(-DWITH_CUBLAS -lcublas)
echo 'int main(){}' >"$out/probe.cu"
"$nvcc" "$out/probe.cu" -lcublas -o "$out/probe" 2>/dev/null || cublas=()
"$nvcc" -O2 -std=c++17 -arch="$arch" "$root/benchmarks/cuda_ladder.cu" "${cublas[@]}" -ldl -o "$out/cuda_ladder"
wait
for rung in "${rungs[@]}"; do
    [[ -f ${rung##*:} ]] || { echo "$rung was not built" >&2 && exit 1; }
done
[[ -n ${COMPILE_ONLY:-} ]] && exit 0
exec "$out/cuda_ladder" "${rungs[@]}"
