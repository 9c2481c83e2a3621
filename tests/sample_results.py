"""Sample result documents for the tests of everything that reads one. Each function makes one situation."""

from __future__ import annotations

from typing import Any

from grader import result as document
from grader.result import (
    Axis,
    Duel,
    DuelCase,
    Evidence,
    Failure,
    Machine,
    Result,
    Roofline,
    Sandbox,
    Series,
    Status,
)

TIERS = {"pass": 0.15, "bronze": 0.25, "silver": 0.50, "gold": 0.80, "bonus": 0.95}
MIX_TIERS = {"pass": 0.25, "bronze": 0.45, "silver": 0.65, "gold": 0.85, "bonus": 0.95}
THREAD_TIERS = {"pass": 0.55, "bronze": 0.65, "silver": 0.75, "gold": 0.80}

LAST_COLUMNS = Failure(
    summary="C is wrong in the last columns when n is not a multiple of 16.",
    case="m=1 n=17 k=3, lda=3 ldb=20 ldc=17, alpha=1 beta=0",
    expected="C[0, 16] = 4.5",
    got="C[0, 16] = nan",
    where="row 0, column 16 (1 of 17 elements differs)",
    why="The tile at the right edge is narrower than the register tile. Compute it in a small buffer of mr x"
    " nr and copy only the columns that exist; C is also never read when beta is 0.",
)

COMPILE_ERROR = Failure(
    summary="gemm.c does not compile: 1 error.",
    where="gemm.c:42:23",
    why="A statement ends with a semicolon; the compiler often notices on the next line.",
    detail="gemm.c:42:23: error: expected ';' before '}' token\n"
    "   42 |     sum += a[i] * b[i]\n"
    "      |                       ^",
)

NASTY = (
    "\x1b[2J\x1b]0;title\x07 [bold red]markup[/] [/nope] \u202etxt.exe\u202c \ud800 \x00 \x9b31m "
    "]]><testcase/> <script>alert(1)</script> ::error::x `rm -rf` =HYPERLINK(1) {lab} 日本語 "
    "\u2028 \ufffe \U000e0041\r\n%s"
)


def test(
    name: str,
    category: str,
    status: Status = "passed",
    points: float | None = None,
    of: float = 2,
    **more: Any,
):
    """One test; full points when it passed and none otherwise, unless `points` says more."""
    more.setdefault(
        "id", f"test_{'hidden' if more.get('hidden') else 'public'}.py::test_{name.replace(' ', '_')}"
    )
    more.setdefault("duration_s", 0.25)
    earned = (of if status == "passed" else 0) if points is None else points
    return document.TestResult(
        name=name, category=category, status=status, points=earned, max_points=of, **more
    )


def duel(name: str, ratio: float | None, tier: str | None, **more: Any) -> Duel:
    """One judged duel; its test is called like it."""
    fields: dict[str, Any] = {
        "id": name,
        "test_id": f"test_performance.py::test_{name}",
        "title": name,
        "reference": "OpenBLAS 0.3.30 Haswell, 1 thread",
        "ratio": ratio,
        "interval": None if ratio is None else (ratio * 0.99, ratio * 1.02),
        "tier": tier,
        "tiers": TIERS,
        "verdict": "passed" if tier else "failed",
        "rounds": 11,
        "unit": "GFLOP/s",
    }
    return Duel(**{**fields, **more})


def result(tests: list[Any], duels: list[Duel] | None = None, **more: Any) -> Result:
    """A whole document around `tests`; totals and status follow from them."""
    judged = [item for item in tests if item.status != "not_judged"]
    failed = any(item.status == "failed" for item in tests)
    fields: dict[str, Any] = {
        "lab": "gemm_cpu",
        "lab_title": "Matrix multiplication on a CPU",
        "submission": "alice",
        "mode": "official",
        "score": sum(item.points for item in judged),
        "max_score": sum(item.max_points for item in tests),
        "judged_max": sum(item.max_points for item in judged),
        "status": "failed" if failed else "passed" if judged == tests else "not_judged",
        "tests": tests,
        "duels": duels or [],
        "sandbox": Sandbox(tier="A", description="bubblewrap, seccomp, own cgroup"),
        "machine": Machine(
            hostname="lab-07",
            cpu="Intel Xeon Gold 6226R",
            cores=16,
            isa=["avx2", "fma", "avx512f"],
            memory_gib=93.5,
            kernel="6.1.0",
            fitness={"spin_cv": 0.004, "verdict": "quiet"},
        ),
        "toolchain": {"cc": "gcc 12.2.0", "flags": "-O3 -mavx2 -mfma", "grader": "0.1.0"},
        "hashes": {"submission": "5e" * 32, "lab": "1a" * 32, "grader": "c0" * 32},
        "seeds": {"run": 123456789},
        "started_at": "2025-03-04T10:11:12Z",
        "duration_s": 48.3,
    }
    return Result(**{**fields, **more})


def _correctness(of: float = 2) -> list[Any]:
    names = [
        "all small shapes",
        "block edges",
        "leading dimensions",
        "padding of C",
        "beta is zero",
        "alpha is zero",
    ]
    names += [
        "k is zero",
        "transposes",
        "exact integers",
        "error bound",
        "mixed magnitudes",
        "infinities and NaN",
    ]
    names += ["identity and permutation", "unaligned pointers", "argument errors"]
    public = {"all small shapes", "transposes", "argument errors"}
    return [
        test(name, "correctness", of=of, hidden=name not in public, must=name == "all small shapes")
        for name in names
    ]


def _other_parts() -> list[Any]:
    return [
        test("pack A", "building blocks", of=4),
        test("pack B", "building blocks", of=4),
        test("micro-kernel", "building blocks", of=4),
        test("AddressSanitizer finds nothing", "safety", of=4, must=True),
        test("guard pages", "safety", of=4, hidden=True, must=True),
    ]


def _performance(points: list[float]) -> list[Any]:
    names = [("large", "n = 3072"), ("mix", "odd sizes"), ("threads", "threads")]
    return [
        test(name, "performance", points=earned, of=8, id=f"test_performance.py::test_{key}")
        for (key, name), earned in zip(names, points, strict=True)
    ]


def _misses(**more: Any) -> Any:
    fields = {"message": "0.21 of the naive loop's simulated cache misses; full points at 0.35", **more}
    return test("simulated cache misses", "performance", of=10, **fields)


def perfect() -> Result:
    """Everything passed; bonus on one duel."""
    duels = [
        duel(
            "large", 0.962, "bonus", title="n = 3072", submission_rate=99.4, reference_rate=103.3,
            roofline=Roofline(bound="compute", value=99.4, ceiling=118.0, unit="GFLOP/s"),
        ),
        duel(
            "mix", 0.953, "bonus", title="odd sizes", tiers=MIX_TIERS, submission_rate=88,
            reference_rate=92.3,
        ),
        duel(
            "threads", 0.87, "gold", title="threads", tiers=THREAD_TIERS, clock="wall", unit="",
            reference="your own single thread, 16 cores",
        ),
    ]  # fmt: skip
    tests = [*_correctness(), *_other_parts(), *_performance([8.8, 8.8, 8]), _misses()]
    return result(tests, duels)


def mixed() -> Result:
    """The everyday case: one public and two hidden failures, some tiers, some points not judged."""
    correctness = [item for item in _correctness() if item.name not in ("block edges", "padding of C")]
    tests = [
        *correctness,
        test("skinny shapes", "correctness", "failed", failure=LAST_COLUMNS, message=LAST_COLUMNS.summary),
        test(
            "block edges", "correctness", "failed", hidden=True, message="wrong at n=4097",
            failure=Failure(summary="wrong at n=4097", case="m=6 n=4097"),
        ),
        test("padding of C", "correctness", "failed", hidden=True, message="ldc gap overwritten at n=13"),
        *_other_parts(),
        *_performance([7.3, 0, 0])[:2],
        test(
            "threads", "performance", "not_judged", of=8, id="test_performance.py::test_threads",
            message="the machine was too noisy: other programs used 31 % of the cores",
        ),
        _misses(status="not_judged", message="valgrind is not installed here"),
    ]  # fmt: skip
    tests[-3] = tests[-3].model_copy(update={"status": "failed", "message": "0.11: below pass at 0.25"})
    duels = [
        duel(
            "large", 0.7312, "silver", title="n = 3072", interval=(0.7208, 0.7401), submission_rate=75.5,
            reference_rate=103.3,
            roofline=Roofline(
                bound="compute", value=75.5, ceiling=118.0, unit="GFLOP/s", intensity=512, peak=118.0, bandwidth=16.1
            ),
        ),
        duel(
            "mix", 0.112, None, title="odd sizes", tiers=MIX_TIERS, submission_rate=10.3, reference_rate=92.3,
            cases=[
                DuelCase(name=name, ratio=ratio, submission_rate=95 * ratio, reference_rate=95)
                for name, ratio in [("384 x 384 x 384", 0.19), ("1000 x 1000 x 1000", 0.18), ("4096 x 64 x 64", 0.04)]
            ],
        ),
        duel(
            "threads", 0.69, "bronze", title="threads", tiers=THREAD_TIERS, clock="wall", unit="",
            interval=(0.52, 0.81), verdict="not_judged", reference="your own single thread, 16 cores",
            reason="the machine was too noisy: other programs used 31 % of the cores",
        ),
    ]  # fmt: skip
    evidence = [
        Evidence(
            test_id="test_performance.py::test_loop",
            title="The hot loop of gemm_f32",
            text="vfmadd231ps %ymm1,%ymm2",
        ),
        Evidence(test_id="test_hidden.py::test_block_edges", title="SECRET", text="SECRET 4097"),
    ]
    notes = ["valgrind is not installed: simulated cache misses were not counted"]
    return result(tests, duels, notes=notes, evidence=evidence)


def practice() -> Result:
    """Public tests only, all passed, without isolation."""
    tests = [item for item in [*_correctness(), *_other_parts()] if not item.hidden]
    duels = [duel("large", 0.2999, "bronze", title="n = 3072", submission_rate=31, reference_rate=103.3)]
    sandbox = Sandbox(tier="D", description="none", missing=["isolation of files", "no network"])
    return result([*tests, _performance([5.4, 0, 0])[0]], duels, mode="practice", sandbox=sandbox)


def broken_build() -> Result:
    """It does not compile: one failure explains all."""
    builds = test(
        "it compiles", "build", "failed", of=2, must=True, id="build::release", failure=COMPILE_ERROR,
        message=COMPILE_ERROR.summary,
    )  # fmt: skip
    rest = [
        item.model_copy(update={"status": "failed", "points": 0.0, "message": "It does not compile."})
        for item in [*_correctness(), *_other_parts()]
    ]
    return result([builds, *rest], seeds={})


def unjudged() -> Result:
    """A CUDA lab on a machine without a GPU: nothing could be judged."""
    reason = "this machine has no NVIDIA GPU"
    names = [("transpose", "correctness"), ("reduction", "correctness"), ("bandwidth", "performance")]
    tests = [test(name, kind, "not_judged", of=30, message=reason) for name, kind in names]
    bandwidth = duel(
        "bandwidth", None, None, title="transpose 8192 x 8192", reference="device copy", unit="GB/s",
        rounds=0, verdict="not_judged", reason=reason, test_id=tests[2].id,
    )  # fmt: skip
    return result(
        tests, [bandwidth], lab="cuda_reduce_transpose", lab_title="Reduction and transpose in CUDA"
    )


def memory_bound() -> Result:
    """A duel with a memory roofline, far below and far above its tiers."""
    tests = _performance([0, 8, 8])
    duels = [
        duel(
            "large", 0.0009, None, title="far below", interval=(0.0008, 0.001), submission_rate=0.0461,
            reference_rate=51.2,
        ),
        duel(
            "mix", 0.7451, "silver", title="y = A x, 4096 x 4096", unit="GB/s", reference="memcpy-like probe",
            submission_rate=38, reference_rate=51,
            roofline=Roofline(bound="memory", value=38, ceiling=51, unit="GB/s"),
        ),
        duel("threads", 31.0, "bonus", title="far above", reason="31 times the reference: a person looks"),
    ]  # fmt: skip
    tests[0] = tests[0].model_copy(update={"status": "failed", "message": "0.0009: below pass at 0.15"})
    return result(tests, duels)


def hostile(text: str = NASTY) -> Result:
    """Every text is `text`, less lone surrogates, which no document can hold."""
    text = text.encode("utf-8", "replace").decode()
    failure = Failure(**dict.fromkeys(Failure.model_fields, text))
    tests = [
        test(text, text, "failed", id=f"a{text}", failure=failure, message=text),
        test(text, text, "failed", id=f"b{text}", message=text),
        test(text, text, "not_judged", id=f"c{text}", message=text),
        test(text, text, id=f"d{text}", message=text),
        test(text, text, "failed", id=f"e{text}", hidden=True, message="SECRET", failure=failure),
    ]
    cases = [DuelCase(name=text, ratio=ratio, submission_rate=1, reference_rate=2) for ratio in (0.1, 0.5)]
    duels = [duel(text, 0.5, "silver", title=text, reference=text, unit=text, reason=text, cases=cases)]
    return result(
        tests,
        duels,
        lab=text,
        lab_title=text,
        submission=text,
        notes=[text],
        seeds={text: 1, "run": 7},
        evidence=[Evidence(test_id="x", title=text, text=text[:10_000])],
        series=[
            Series(
                test_id="x",
                title=text[:120],
                x=Axis(label=text[:60], unit=text[:20]),
                y=Axis(label=text[:60], unit=text[:20]),
                lines={text[:60]: [(1.0, 2.0), (2.0, 1.0)]},
            )
        ],
    )


def measured() -> Result:
    """A lab about measuring: a duel of values, and latencies to be drawn."""
    sizes = [4096.0 * 2**i for i in range(13)]
    latency = [(size, 1.2 if size <= 49152 else 4.4 if size <= 2**20 else 90.0) for size in sizes]
    series = Series(
        test_id="test_public.py::test_the_report",
        title="Latency over size",
        x=Axis(label="bytes in the ring", unit="bytes"),
        y=Axis(label="a random load", unit="ns"),
        lines={"latency": latency, "levels": [(32768.0, 1.2), (1048576.0, 4.4), (16777216.0, 90.0)]},
    )
    agreed = duel(
        "latency", 0.87, "silver", title="latency of random loads", reference="the grader's own chase",
        tiers={"pass": 0.75, "silver": 0.85, "gold": 0.92}, compares="values", unit="ns",
        cases=[
            DuelCase(name="8 KiB", ratio=0.99, submission_rate=1.26, reference_rate=1.25),
            DuelCase(name="16 MiB", ratio=0.76, submission_rate=68.4, reference_rate=90),
        ],
    )  # fmt: skip
    tests = [test("the report", "correctness"), test("latency", "performance", points=6, of=8)]
    return result(tests, [agreed], lab="microbench", lab_title="Measuring a machine", series=[series])


SITUATIONS = {
    make.__name__: make
    for make in (perfect, mixed, practice, broken_build, unjudged, memory_bound, measured, hostile)
}
