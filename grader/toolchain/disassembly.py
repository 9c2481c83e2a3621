"""What the compiler made of a function: the instructions of its loops, read from the built library.

The library is the submission's, and its symbols may be called anything. They are read here, as data with checked
bounds; objdump gets the bare bytes of one function at a time, so that no name can pose as an instruction.
What is found is static: a loop that is there, not one that runs. How often it runs, the simulator counts.
"""

from __future__ import annotations

import bisect
import functools
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.trouble import CannotWork

_MAX_FUNCTION, _MAX_FUNCTIONS = 1 << 20, 200  # bytes; how many are looked at
_TIMEOUT_S = 20.0
_LINE = re.compile(r"^\s*([0-9a-f]+):\t(\S+) ?[ \t]*(.*)$")
_PREFIXES = ("bnd", "notrack", "rep", "repz", "repnz", "lock", "data16", "cs", "ds")
_TARGET = re.compile(r"^0x([0-9a-f]+)$")
_RELATIVE = re.compile(r"\(%rip\).*# 0x([0-9a-f]+)$")
_FMA = re.compile(r"vfn?m(add|sub|addsub|subadd)(132|213|231)(ps|pd|ss|sd)")
_ARITHMETIC = re.compile(r"v?(add|sub|mul|div|min|max|sqrt)(ps|pd|ss|sd)")
_LANES = {"zmm": 16, "ymm": 8, "xmm": 4}


@dataclass(frozen=True)
class Instruction:
    """One instruction at its address, in AT&T syntax, prefixes apart."""

    address: int
    mnemonic: str
    operands: str

    @property
    def text(self) -> str:
        return f"{self.mnemonic} {self.operands}".rstrip()

    @property
    def is_fma(self) -> bool:
        """A fused multiply-add, packed or of one number."""
        return _FMA.fullmatch(self.mnemonic) is not None

    @property
    def is_packed_fma(self) -> bool:
        """A fused multiply-add of whole vectors of 256 bits or more."""
        return self.is_fma and self.mnemonic[-2] == "p" and ("ymm" in self.operands or "zmm" in self.operands)

    @property
    def uses_avx512(self) -> bool:
        """Does it use what only AVX-512 has: zmm registers, masks, or the upper sixteen vectors?"""
        return re.search(r"%(zmm\d|k[0-7]\b|[xy]mm(1[6-9]|[23]\d))", self.operands) is not None

    @property
    def asks_the_cpu(self) -> bool:
        """Does it find out which CPU this is? Code that chooses by it may run another path where it is counted."""
        return self.mnemonic in ("cpuid", "xgetbv")

    @property
    def operations(self) -> int:
        """Floating-point operations on single-precision lanes: 16 for a ymm FMA, 0 for what does no arithmetic."""
        if not (self.is_fma or _ARITHMETIC.fullmatch(self.mnemonic)):
            return 0
        wide = next((lanes for name, lanes in _LANES.items() if name in self.operands), 1)
        lanes = wide if self.mnemonic[-2] == "p" else 1
        return lanes * (2 if self.is_fma else 1)


@dataclass(frozen=True)
class Loop:
    """An innermost loop: between a jump back and its target lies no other such jump. `function` holds it."""

    function: str
    instructions: tuple[Instruction, ...]

    @property
    def operations(self) -> int:
        """Floating-point operations of one pass."""
        return sum(item.operations for item in self.instructions)

    def listing(self, limit: int = 40) -> str:
        """One instruction per line, the middle left out beyond `limit` lines."""
        lines = [f"  {item.address:6x}:  {item.text}" for item in self.instructions]
        if len(lines) > limit:
            cut = len(lines) - limit
            lines[limit // 2 : limit // 2 + cut] = [f"          … {cut} more instructions"]
        return "\n".join(lines)


class MachineCode:
    """The machine code of one built library. Raises ValueError when the file is not what a linker writes."""

    def __init__(self, library: Path) -> None:
        self._image = _Image(library.read_bytes())

    def loops(self, function: str) -> list[Loop]:
        """Innermost loops of an exported function and of those that it calls, most arithmetic per pass first.

        Raises KeyError when the library exports no such function, RuntimeError when objdump fails.
        """
        found: list[Loop] = []
        for start in self._reachable(self._image.exported[function]):
            symbol = self._image.functions[start]
            found += [Loop(symbol.name, body) for body in innermost(self._code(symbol))]
        return sorted(found, key=lambda loop: -loop.operations)

    def hot_loop(self, function: str) -> Loop | None:
        """The loop that does most arithmetic per pass; None when there is no loop at all."""
        return next(iter(self.loops(function)), None)

    def instructions(self) -> Iterator[Instruction]:
        """All instructions of all functions."""
        for symbol in list(self._image.functions.values())[:_MAX_FUNCTIONS]:
            yield from self._code(symbol)

    def _code(self, symbol: _Symbol) -> tuple[Instruction, ...]:
        return _disassembled(self._image.code_of(symbol), symbol.start)

    def _reachable(self, start: int) -> list[int]:
        """Addresses of the functions that are called, jumped to or pointed at from here, this one first."""
        order, waiting = [start], [start]
        while waiting and len(order) < _MAX_FUNCTIONS:
            symbol = self._image.functions[waiting.pop()]
            for item in self._code(symbol):
                target = _destination(item) or _mentioned(item)
                if target is None or symbol.start <= target < symbol.start + symbol.size:
                    continue
                callee = self._image.function_at(target)
                if callee is not None and callee not in order:
                    order.append(callee)
                    waiting.append(callee)
        return order


def available() -> bool:
    """Is objdump installed?"""
    return shutil.which("objdump") is not None


def innermost(code: tuple[Instruction, ...]) -> list[tuple[Instruction, ...]]:
    """Bodies of the loops that hold no other loop, in order: from the target of a jump back to the jump."""
    if not code:
        return []
    spans = {
        (target, item.address)
        for item in code
        for target in [_destination(item)]
        if target is not None and code[0].address <= target <= item.address and item.mnemonic.startswith("j")
    }
    inner = [
        span
        for span in sorted(spans)
        if not any(other != span and span[0] <= other[0] and other[1] <= span[1] for other in spans)
    ]
    return [tuple(item for item in code if head <= item.address <= tail) for head, tail in inner]


def _destination(item: Instruction) -> int | None:
    """Where a direct jump or call leads."""
    if not item.mnemonic.startswith(("j", "call", "loop")):
        return None
    match = _TARGET.match(item.operands)
    return int(match.group(1), 16) if match else None


def _mentioned(item: Instruction) -> int | None:
    """The address that an instruction takes or reads relative to itself: perhaps a pointer to a function."""
    match = _RELATIVE.search(item.operands) if item.mnemonic in ("lea", "mov") else None
    return int(match.group(1), 16) if match else None


@functools.lru_cache(maxsize=512)
def _disassembled(code: bytes, address: int) -> tuple[Instruction, ...]:
    """Instructions of bare bytes at an address. Raises RuntimeError when objdump cannot be run."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(code)
        file.flush()
        command = ["objdump", "-D", "-w", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn"]
        try:
            answer = subprocess.run(
                [*command, f"--adjust-vma={address:#x}", file.name],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotWork(f"objdump failed: {error}") from error
    if answer.returncode != 0:
        raise CannotWork(f"objdump failed: {answer.stderr.strip()[-400:]}")
    return tuple(_parsed(answer.stdout))


def _parsed(listing: str) -> Iterator[Instruction]:
    for line in listing.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        words = f"{match.group(2)} {match.group(3)}".split()
        while len(words) > 1 and words[0] in _PREFIXES:
            words = words[1:]
        yield Instruction(int(match.group(1), 16), words[0], " ".join(words[1:]))


# --- The library's file: ELF-64, little endian (elf(5)) -------------------------------------------------------------

_PROGRAM_BITS, _SYMBOLS, _RELOCATIONS, _DYNAMIC_SYMBOLS = 1, 2, 4, 11
_EXECUTABLE, _FUNCTION = 4, 2
_JUMP = b"\xff\x25"  # jmp *offset(%rip), what a stub of the procedure linkage table does


@dataclass(frozen=True)
class _Section:
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True)
class _Symbol:
    name: str
    start: int
    size: int


class _Image:
    """Functions by address, exported ones by name, and their code."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit ELF file")
        (table,) = self._read("<Q", 0x28)
        size, count = self._read("<HH", 0x3A)
        self._sections = [self._section(table + size * number) for number in range(count)]
        tables = [item for item in self._sections if item.kind in (_SYMBOLS, _DYNAMIC_SYMBOLS)]
        self.functions: dict[int, _Symbol] = {}
        self.exported: dict[str, int] = {}
        for section in sorted(tables, key=lambda item: item.kind):
            for symbol in self._symbols(section):
                if symbol is None or not 0 < symbol.size <= _MAX_FUNCTION or not symbol.start:
                    continue
                self.functions.setdefault(symbol.start, symbol)
                if section.kind == _DYNAMIC_SYMBOLS:
                    self.exported[symbol.name] = symbol.start
        self._starts = sorted(self.functions)
        self._slots = dict(self._named_slots())

    def code_of(self, symbol: _Symbol) -> bytes:
        """The function's bytes; none where it lies outside of the code."""
        return self._bytes_at(symbol.start, symbol.size)

    def function_at(self, address: int) -> int | None:
        """Start of the function at this address, or of the one whose stub or slot it is."""
        if address in self._slots:
            return self.exported.get(self._slots[address])
        position = bisect.bisect_right(self._starts, address) - 1
        if position >= 0:
            symbol = self.functions[self._starts[position]]
            if address < symbol.start + symbol.size:
                return symbol.start
        stub = self._bytes_at(address, 16)
        jump = stub.find(_JUMP)
        if jump < 0 or jump + 6 > len(stub):
            return None
        (offset,) = struct.unpack_from("<i", stub, jump + 2)
        return self.exported.get(self._slots.get(address + jump + 6 + offset, ""))

    def _bytes_at(self, address: int, size: int) -> bytes:
        for item in self._sections:
            if item.kind == _PROGRAM_BITS and item.flags & _EXECUTABLE:
                begin = address - item.address
                if 0 <= begin < item.size:
                    return self._data[item.offset + begin : item.offset + min(begin + size, item.size)]
        return b""

    def _named_slots(self) -> Iterator[tuple[int, str]]:
        """(address of a slot that a stub jumps through, name of the function that belongs there)."""
        for section in self._sections:
            if section.kind != _RELOCATIONS or section.link >= len(self._sections):
                continue
            names = self._sections[section.link]
            if names.kind != _DYNAMIC_SYMBOLS:
                continue
            symbols = list(self._symbols(names))
            for position in range(section.offset, section.offset + section.size, 24):
                slot, info = self._read("<QQ", position)
                symbol = symbols[info >> 32] if info >> 32 < len(symbols) else None
                if symbol is not None:
                    yield slot, symbol.name

    def _section(self, position: int) -> _Section:
        _, kind, flags, address, offset, size, link = self._read("<IIQQQQI", position)
        return _Section(kind, flags, address, offset, size, link)

    def _symbols(self, section: _Section) -> Iterator[_Symbol | None]:
        """Every entry in order; None for those that are no function."""
        if section.link >= len(self._sections):
            raise ValueError("a symbol table without names")
        names = self._sections[section.link]
        for position in range(section.offset, section.offset + section.size, 24):
            name, info, _, _, value, size = self._read("<IBBHQQ", position)
            if info & 15 != _FUNCTION or name >= names.size:
                yield None
                continue
            begin = names.offset + name
            text = self._data[begin : begin + 200].split(b"\0", 1)[0]
            yield _Symbol(text.decode("utf-8", "replace"), value, size)

    def _read(self, form: str, position: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(form, self._data, position)
        except (struct.error, OverflowError) as error:  # a position beyond any file
            raise ValueError("the file is cut short") from error
