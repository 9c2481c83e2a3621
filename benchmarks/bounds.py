"""Is every error bound one? Honest code over thousands of seeds, and code that is not precise enough.

    python -m benchmarks.bounds [--seeds 2000]

The rungs and solutions of the labs on the processor are compiled and called here, in this process, on problems drawn
as the hidden tests draw them. What runs on a GPU is imitated in NumPy, rounding by rounding, in the order of each rung;
the sums of ddp_lite in turn and as a tree. Prints, for each: problems, failures, the largest error as a share of its
bound. Honest code must never fail; the last lines of each lab must always.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml

from labs.cuda_reduce_transpose import oracle as redtr
from labs.ddp_lite import oracle as ddp
from labs.ddp_lite.world import MEAN, SUM
from labs.gemm_cpu import oracle as gemm
from labs.gemm_tensor_core import oracle as tensor
from labs.gemv_simd import oracle as gemv

ROOT = Path(__file__).resolve().parent.parent
Bits = np.ndarray
FUSED = ("-ffp-contract=fast", "-mfma")


class Tally:
    """Problems seen, and the largest share of the bound that an error took."""

    def __init__(self) -> None:
        self.problems = self.failures = 0
        self.largest = 0.0

    def add(self, got: Bits, expected: Bits, bound: Bits) -> None:
        error = np.abs(np.asarray(got, np.float64) - expected)
        share = np.divide(error, bound, out=np.where(error > 0, np.inf, 0.0), where=bound > 0)
        worst = float(np.max(share, initial=0.0))
        self.problems += 1
        self.failures += not worst <= 1
        self.largest = max(self.largest, worst)


def built(lab: str, folder: Path, name: str, *more: str) -> ctypes.CDLL:
    """A rung's C, compiled with the lab's flags and `more`."""
    flags = yaml.safe_load((ROOT / "labs" / lab / "lab.yaml").read_text())["build"]["flags"]
    target = Path(tempfile.mkdtemp()) / "lib.so"
    command = [
        "gcc",
        "-std=gnu11",
        "-shared",
        "-fPIC",
        "-pthread",
        *flags,
        *more,
        f"-I{ROOT / 'starter' / lab}",
    ]
    subprocess.run([*command, str(folder / name), "-lm", "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def rungs(lab: str, name: str) -> Iterator[tuple[str, ctypes.CDLL]]:
    folder = ROOT / "solutions_hidden" / lab
    for rung in sorted((folder / "rungs").iterdir()):
        yield rung.name, built(lab, rung, name)
    yield (
        "reordered, fused" if lab == "gemm_cpu" else "one_sum, fused",
        built(lab, folder / "rungs" / ("reordered" if lab == "gemm_cpu" else "one_sum"), name, *FUSED),
    )
    yield "solution", built(lab, folder, name)


def call(function: ctypes._NamedFuncPointer, arguments: tuple[object, ...], kinds: str) -> None:
    """`kinds`: a letter for each argument: i int, z size_t, t ptrdiff_t, f float, p array of float."""
    types = {"i": ctypes.c_int, "z": ctypes.c_size_t, "t": ctypes.c_ssize_t, "f": ctypes.c_float}
    passed = [
        value.ctypes.data_as(ctypes.c_void_p) if kind == "p" else types[kind](value)  # type: ignore[attr-defined]
        for value, kind in zip(arguments, kinds, strict=True)
    ]
    assert function(*passed) == 0


def bfloat16(numbers: Bits) -> Bits:
    return (numbers.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def gemm_cpu(seeds: int, tallies: Callable[[str], Tally]) -> None:
    sides = list(rungs("gemm_cpu", "gemm.c"))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        for limit in (12, 40, 130):
            for draw in (gemm.uniform, gemm.mixed_magnitudes):
                m, n, k = (int(side) for side in rng.integers(1, limit, 3))
                alpha, beta = rng.choice([-1.5, 0.0, 1.0, 2.0], 2)
                item = gemm.problem(rng, m, n, k, alpha=alpha, beta=beta, draw=draw)
                expected, bound, before = item.expected(), item.bound(), item.flat[2].copy()
                for name, library in sides:
                    item.flat[2][:] = before
                    call(library.gemm_f32, item.arguments, "iizzzfpzpzfpz")
                    tallies(name).add(gemm.view(item.flat[2], m, n, 0), expected, bound)
                if alpha and draw is gemm.uniform and m * n > 16:
                    rough = gemm.of(bfloat16(item.a), bfloat16(item.b), item.c, alpha=alpha, beta=beta)
                    tallies("inputs cut to bfloat16 !").add(rough.expected(), expected, bound)


def gemv_simd(seeds: int, tallies: Callable[[str], Tally]) -> None:
    sides = list(rungs("gemv_simd", "gemv.c"))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        for transposed in (False, True):
            for draw in (gemv.uniform, gemv.mixed_magnitudes):
                m, n = (int(side) for side in rng.integers(1, 300, 2))
                alpha, beta = rng.choice([-1.5, 0.0, 1.0, 2.0], 2)
                item = gemv.problem(rng, m, n, transposed=transposed, alpha=alpha, beta=beta, draw=draw)
                expected, bound, before = item.expected(), item.bound(), item.flat[2].copy()
                for name, library in sides:
                    item.flat[2][:] = before
                    call(library[item.function], item.arguments, "zzfpzptfpt")
                    tallies(name).add(gemv.vector_of(item.flat[2], item.incy), expected, bound)
                if alpha and draw is gemv.uniform:
                    rough = gemv.of(
                        bfloat16(item.a), item.x, item.y, transposed=transposed, alpha=alpha, beta=beta
                    )
                    tallies("A cut to bfloat16 !").add(rough.expected(), expected, bound)


def in_turn(rows: Bits) -> Bits:
    """Sums along the last axis, one after the other in single precision."""
    return np.add.accumulate(rows, axis=-1, dtype=np.float32)[..., -1]


def by_a_warp(rows: Bits) -> Bits:
    """32 lanes, each every 32nd number, then a tree over the lanes."""
    padded = np.zeros((len(rows), -(-rows.shape[1] // 32) * 32), np.float32)
    padded[:, : rows.shape[1]] = rows
    lanes = in_turn(padded.reshape(len(rows), -1, 32).transpose(0, 2, 1))
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def cuda_reduce_transpose(seeds: int, tallies: Callable[[str], Tally]) -> None:
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        for draw in (rng.random, rng.standard_normal):
            shape = (3, 100_000) if seed % 8 == 0 else (3, 5000)
            rows = draw(shape, np.float32)
            expected, bound = rows.astype(np.float64).sum(axis=1), redtr.bound(rows)
            tallies("rows: a warp for each (the rungs)").add(by_a_warp(rows), expected, bound)
            tallies("rows: a thread for each").add(in_turn(rows), expected, bound)
            whole = rows.reshape(1, -1)
            parts = by_a_warp(np.resize(whole, (whole.size // 1024, 1024)))
            part_bound = redtr.bound(whole[0, : whole.size // 1024 * 1024])
            exact = whole[0, : whole.size // 1024 * 1024].astype(np.float64).sum(keepdims=True)
            tallies("sum: warps over 1024 numbers, then a warp").add(
                by_a_warp(parts[None]), exact, part_bound
            )
        if seed % 50 == 0:
            numbers = rng.random((1, 1 << 20), np.float32)
            exact = numbers.astype(np.float64).sum(axis=1)
            tallies("sum: a million numbers one after the other !").add(
                in_turn(numbers), exact, redtr.bound(numbers[0])
            )


def cut_off(numbers: Bits) -> Bits:
    """Double to single precision by cutting off, as a tensor core without a guard bit may."""
    single = numbers.astype(np.float32)
    too_far = np.abs(single.astype(np.float64)) > np.abs(numbers)
    return np.where(too_far, np.nextafter(single, np.float32(0)), single)


def gemm_tensor_core(seeds: int, tallies: Callable[[str], Tally]) -> None:
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        k = (64, 1024, 20_001)[seed % 3] if seed % 30 < 3 else (64, 1000)[seed % 2]
        a, b = rng.random((4, k)).astype(np.float16), rng.random((k, 4)).astype(np.float16)
        products = a.astype(np.float64)[:, :, None] * b.astype(np.float64)[None]
        expected, bound = products.sum(axis=1), tensor.relative_bound(k) * np.abs(products).sum(axis=1)
        for width in (4, 16):
            total = np.zeros((4, 4), np.float32)
            for start in range(0, k, width):
                total = cut_off(total + products[:, start : start + width].sum(axis=1))
            tallies(f"{width} products a step, cut off").add(total, expected, bound)
        one = np.zeros((4, 4), np.float32)
        for step in range(k):
            one = cut_off(one + products[:, step])
        tallies("one product a step, cut off").add(one, expected, bound)
        half = np.zeros((4, 4), np.float16)
        for step in range(k):
            half = (half + products[:, step]).astype(np.float16)
        if k > 64:
            tallies("sums in half !").add(half, expected, bound)


def ddp_lite(seeds: int, tallies: Callable[[str], Tally]) -> None:
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        given = ddp.inputs(rng, int(rng.integers(2, 9)), 257)
        for op in (SUM, MEAN):
            expected, bound = ddp.reduced(given, op)
            size = np.float32(len(given))
            total = given[0]
            for addend in given[1:]:
                total = total + addend
            tallies("in turn").add(total / size if op == MEAN else total, expected, bound)
            first = [part / size for part in given] if op == MEAN else list(given)
            while len(first) > 1:
                first = [sum(first[at + 1 : at + 2], first[at]) for at in range(0, len(first), 2)]
            tallies("a tree, divided first").add(first[0], expected, bound)
            rough = sum(bfloat16(part).astype(np.float64) for part in given) / (size if op == MEAN else 1)
            tallies("pieces cut to bfloat16 !").add(rough, expected, bound)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2000)
    seeds = parser.parse_args().seeds
    broken = 0
    print(
        f"| lab | code | problems of {seeds} seeds | failures | largest share of the bound |\n|---|---|---:|---:|---:|"
    )
    for lab in (gemm_cpu, gemv_simd, cuda_reduce_transpose, gemm_tensor_core, ddp_lite):
        seen: dict[str, Tally] = {}
        lab(seeds, lambda name, seen=seen: seen.setdefault(name, Tally()))
        for name, tally in seen.items():
            must = tally.problems if name.endswith("!") else 0
            broken += tally.failures != must
            mark = "" if tally.failures == must else " **wrong**"
            row = f"{tally.problems} | {tally.failures}{mark} | {tally.largest:.3g}"
            print(f"| {lab.__name__} | {name.removesuffix(' !')} | {row} |", flush=True)
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
