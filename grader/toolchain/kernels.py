"""What the compiler made of a submission's kernels: PTX and the registers, spills and shared memory of each.

Evidence without noise, and without a GPU: it is the same on every machine with the same compiler. PTX is the documented
assembly that nvcc emits for the student's own source; resources are what `ptxas -v` says of it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

FEATURES = {
    "tensor cores": r"\b(?:wmma\.mma|mma\.sync|wgmma\.mma_async)\b",
    "ldmatrix": r"\bldmatrix\b",
    "cp.async": r"\bcp\.async\.c[ag]\b",
    "bulk copies": r"\bcp\.async\.bulk\b",
    "16-byte loads": r"\bld\.global(?:\.\w+){0,9}\.(?:v4\.[fbu]32|v2\.[fbu]64|b128)\b",
    "shuffles": r"\bshfl\.sync\b",
    "barriers": r"\bbar(?:rier)?(?:\.cta)?\.sync\b",
    "atomics": r"\b(?:atom|red)\.\w",
    "shared memory": r"\b(?:ld|st)(?:\.\w+){0,9}\.shared\b",
    "local memory": r"\b(?:ld|st)(?:\.\w+){0,9}\.local\b",
}
"""What people ask about a kernel -> the instructions that show it (PTX ISA, "Instruction Set")."""

_ENTRY = re.compile(r"^[ \t]*(?:\.visible[ \t]+|\.weak[ \t]+)*\.entry[ \t]+(?P<name>[\w$]+)", re.MULTILINE)
_COMPILED = re.compile(r"Compiling entry function '(?P<name>[^']+)' for '(?P<architecture>\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_NOISE = re.compile(r"^[ \t]*(?:\.loc|\.file|//).*$|//.*$", re.MULTILINE)


@dataclass(frozen=True)
class Kernel:
    """One __global__ function: its name in the source, what it takes per thread and block, and its PTX."""

    name: str
    registers: int
    stack_bytes: int
    spill_bytes: int
    """Bytes stored to and loaded from local memory because the registers did not suffice."""
    shared_bytes: int
    """Static shared memory; what a launch adds is not known here."""
    ptx: str
    launched: bool = True
    """False where the source names it only to define it."""

    def count(self, feature: str) -> int:
        """How many instructions of this kind of FEATURES the kernel holds."""
        return len(re.findall(FEATURES[feature], self.ptx))

    def uses(self, feature: str) -> bool:
        return self.count(feature) > 0


def read(folder: Path, said: str, sources: Iterable[str] = ()) -> tuple[Kernel, ...]:
    """The kernels of a build: the .ptx files in `folder`, and `said`, what the compiler printed.

    `sources`: the texts that they come from; without them every kernel counts as launched.
    """
    bodies: dict[str, str] = {}
    for path in sorted(folder.glob("*.ptx")):
        bodies.update(_bodies(path.read_text(encoding="utf-8", errors="replace")))
    resources = _resources(said)
    names = _demangled(bodies)
    text = _COMMENT.sub(" ", "\n".join(sources))
    return tuple(
        Kernel(
            names[symbol],
            *resources.get(symbol, (0, 0, 0, 0)),
            body,
            launched=not text or _is_used(names[symbol], text),
        )
        for symbol, body in bodies.items()
    )


def _is_used(name: str, text: str) -> bool:
    """Does the source name this kernel anywhere but behind __global__, where it is declared or defined?

    Who puts names together in a macro (##) may use any of them.
    """
    plain = re.escape(re.split(r"[<(]", name)[0].split("::")[-1].split()[-1])
    mentions = len(re.findall(rf"\b{plain}\b", text))
    own = len(re.findall(rf"__global__[^;{{}}]{{0,400}}?\b{plain}\s*\(", text))
    return "##" in text or mentions > own


def table(kernels: Iterable[Kernel]) -> str:
    """The kernels and their features as lines of text, for people."""
    lines = []
    for kernel in kernels:
        found = [f"{kernel.count(feature)} x {feature}" for feature in FEATURES if kernel.uses(feature)]
        spills = f", {kernel.spill_bytes} bytes spilled" if kernel.spill_bytes else ""
        shared = f", {kernel.shared_bytes} bytes of shared memory" if kernel.shared_bytes else ""
        lines += [f"{kernel.name}", f"    {kernel.registers} registers{spills}{shared}"]
        lines += [f"    {', '.join(found)}"] if found else []
    return "\n".join(lines)


def _bodies(ptx: str) -> dict[str, str]:
    """Symbol -> the text between its braces, without the debugger's lines."""
    text = _NOISE.sub("", ptx)
    found = {}
    matches = list(_ENTRY.finditer(text))
    for match, following in zip_longest(matches, matches[1:]):
        part = text[match.end() : following.start() if following else len(text)]
        start = position = max(0, part.find("{"))
        depth = 0
        for brace in re.finditer(r"[{}]", part[start:]):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                position = start + brace.end()
                break
        found[match["name"]] = part[start:position]
    return found


def _resources(said: str) -> dict[str, tuple[int, int, int, int]]:
    """Symbol -> registers, stack, spilled and static shared bytes, from the lines of `ptxas -v`."""
    found = {}
    matches = list(_COMPILED.finditer(said))
    for match, following in zip_longest(matches, matches[1:]):
        part = said[match.end() : following.start() if following else len(said)]
        stack, used, shared = _STACK.search(part), _USED.search(part), _SHARED.search(part)
        found[match["name"]] = (
            int(used[1]) if used else 0,
            int(stack[1]) if stack else 0,
            int(stack[2]) + int(stack[3]) if stack else 0,
            int(shared[1]) if shared else 0,
        )
    return found


def _demangled(symbols: Iterable[str]) -> dict[str, str]:
    """Symbol -> its name in the source; the symbol itself where c++filt is missing."""
    listed = list(symbols)
    if not listed:
        return {}
    try:
        answer = subprocess.run(
            ["c++filt", "-p"], input="\n".join(listed), capture_output=True, text=True, timeout=20
        )
        names = answer.stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        names = []
    if len(names) != len(listed):
        return {name: name for name in listed}
    return {symbol: _plain(name) for symbol, name in zip(listed, names, strict=True)}


def _plain(name: str) -> str:
    """A kernel's name as its author writes it: 'multiply<64, 64>' of '(anonymous namespace)::multiply<64u, 64u>'."""
    name = name.replace("(anonymous namespace)::", "")
    return re.sub(r"(?<=\d)u\b", "", re.sub(r"\(\w+\)(?=\d)", "", name))
