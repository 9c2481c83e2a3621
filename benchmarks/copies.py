"""Which library finds copies better, copydetect or compare50? `python benchmarks/copies.py [--compare50 PYTHON]`.

Disguises the lab's rungs as students do (comments, names, the order of functions, one half only), and compares each
disguise with its original and with the others' work. Prints, for each library and disguise, the smallest similarity of
a copy beside the largest of two who worked alone, and the seconds. compare50 needs an environment of its own (it asks
for attrs < 21): `--compare50` names that one's Python.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

K, WINDOW = 25, 9

OTHER = """
import json, sys, time
from pathlib import Path
from compare50 import _api, passes
from compare50._data import Submission
work, pairs = json.loads(sys.stdin.read())
begin = time.perf_counter()
def normal(tokens):
    for step in passes.structure.preprocessors:
        tokens = step(tokens)
    return tokens
def submission(path, **more):
    return Submission(path.parent, [path.name], preprocessor=normal, **more)
made = [submission(Path(name)) for name in work]
given = submission(Path(sys.argv[1]))
scores = _api.rank(made, [], given.files, passes.structure, n=10**6)
by_pair = {frozenset((str(s.sub_a.path), str(s.sub_b.path))): s.score for s in scores}
print(json.dumps([[by_pair.get(frozenset((str(Path(a).parent), str(Path(b).parent))), 0.0) for a, b in pairs],
                  time.perf_counter() - begin]))
"""


def commented(text: str) -> str:
    """Other comments and other white space."""
    text = re.sub(r"/\*.*?\*/", "/* mine */", text, flags=re.DOTALL)
    return re.sub(r"^( +)", lambda match: match[1] * 2, text, flags=re.MULTILINE)


KEPT = frozenset(
    re.findall(
        r"\w+",
        """
        auto break case char const continue default do double else enum extern float for goto if inline int long
        register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
        include define ifdef ifndef endif size_t int64_t uint32_t bool NULL h
        """,
    )
)


def renamed(text: str) -> str:
    """Every name that is not a keyword, a type or part of the header's interface becomes another."""
    names: dict[str, str] = {}

    def other(match: re.Match[str]) -> str:
        word = match[0]
        if word in KEPT or word.startswith(("_mm", "__", "gemm_", "pthread", "std", "E")):
            return word
        return names.setdefault(word, f"my{len(names)}")

    return re.sub(r"\b[A-Za-z_]\w*\b", other, text)


def reordered(text: str) -> str:
    """The functions at the end of the file come first."""
    parts = re.split(r"(?<=^}\n)", text, flags=re.MULTILINE)
    return "".join(parts[len(parts) // 2 :] + parts[: len(parts) // 2])


def half(text: str) -> str:
    """Half of it, and as much that is somebody's own."""
    lines = text.splitlines(keepends=True)
    own = "".join(
        f"static int own_{n}(int a) {{ int s = {n}; while (a > s) {{ a -= s++; }} return a; }}\n"
        for n in range(20)
    )
    return "".join(lines[: len(lines) // 2]) + own


DISGUISES = {"comments": commented, "names": renamed, "order": reordered, "all three": None, "half": half}


def disguised(text: str, kind: str) -> str:
    """The text in this disguise."""
    if kind == "all three":
        return reordered(renamed(commented(text)))
    return DISGUISES[kind](text)  # type: ignore[misc]


def by_copydetect(
    work: dict[Path, str], pairs: list[tuple[Path, Path]], starter: str
) -> tuple[list[float], float]:
    """Similarities, the larger share of each pair, and seconds."""
    from copydetect import CodeFingerprint, compare_files

    begin = time.perf_counter()
    given = sorted(CodeFingerprint("s.c", K, 1, fp=io.StringIO(starter)).hashes)
    marks = {
        path: CodeFingerprint("w.c", K, WINDOW, given, fp=io.StringIO(text)) for path, text in work.items()
    }
    found = [float(max(compare_files(marks[a], marks[b])[1])) for a, b in pairs]
    return found, time.perf_counter() - begin


def by_compare50(
    python: str, work: dict[Path, str], pairs: list[tuple[Path, Path]], starter: Path
) -> tuple[list[float], float]:
    """Its scores (sums of matching fingerprints, not shares), and seconds."""
    told = json.dumps([[str(path) for path in work], [[str(a), str(b)] for a, b in pairs]])
    answer = subprocess.run([python, "-c", OTHER, str(starter)], input=told, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(answer.stderr[-2000:])
    scores, seconds = json.loads(answer.stdout.splitlines()[-1])
    return scores, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare50", default="")
    arguments = parser.parse_args()
    originals = {
        "naive": "solutions_hidden/gemm_cpu/rungs/naive/gemm.c",
        "register_blocked": "solutions_hidden/gemm_cpu/rungs/register_blocked/gemm.c",
        "solution": "solutions_hidden/gemm_cpu/gemm.c",
        "gemv": "solutions_hidden/gemv_simd/gemv.c",
        "cdb": "solutions_hidden/mmap_loader/cdbm.c",
        "pool": "solutions_hidden/thread_pool/tpool.c",
        "ddp": "solutions_hidden/ddp_lite/ddp.c",
    }
    starter = ROOT / "starter" / "gemm_cpu" / "gemm.c"
    with tempfile.TemporaryDirectory() as name:
        work: dict[Path, str] = {}

        def put(who: str, text: str) -> Path:
            path = Path(name) / who / "gemm.c"
            path.parent.mkdir()
            path.write_text(text)
            work[path] = text
            return path

        texts = {who: (ROOT / path).read_text() for who, path in originals.items()}
        first = {who: put(who, text) for who, text in texts.items()}
        alone = list(combinations(first.values(), 2))
        copies = {
            kind: [
                (first[who], put(f"{who}-{kind}".replace(" ", "-"), disguised(texts[who], kind)))
                for who in texts
            ]
            for kind in DISGUISES
        }
        pairs = [*alone, *(pair for kind in copies.values() for pair in kind)]
        tools = {"copydetect (share)": by_copydetect(work, pairs, starter.read_text())}
        if arguments.compare50:
            tools["compare50 (score)"] = by_compare50(arguments.compare50, work, pairs, starter)
        for tool, (found, seconds) in tools.items():
            print(f"{tool}: {len(work)} files, {len(pairs)} pairs asked for, {seconds:.2f} s")
            apart = found[: len(alone)]
            print(f"  worked alone: at most {max(apart):.3f} (median {sorted(apart)[len(apart) // 2]:.3f})")
            place = len(alone)
            for kind, made in copies.items():
                here = found[place : place + len(made)]
                place += len(made)
                caught = sum(value > max(apart) for value in here)
                span = f"{min(here):8.3f} .. {max(here):8.3f}"
                print(f"  {kind:10} {span}   {caught} of {len(here)} above all who worked alone")


if __name__ == "__main__":
    main()
