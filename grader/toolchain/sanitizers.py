"""What the sanitizers found, in a student's words.

One job: the stderr of a process with AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer or
ThreadSanitizer in, `Finding` values out: one sentence each, the place in the student's own file, and the
stack without the frames of Python, of the bindings and of the sanitizer itself. Reads the reports of gcc 9
to 14. What a student's program printed itself is only data here: whatever it holds, nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

MAX_TEXT = 4 << 20  # characters that are read
MAX_FINDINGS = 50
MAX_LINE = 2000
MAX_FRAMES = 12  # shown in a finding's detail
MAX_BLOCK = 2000  # lines of one report
MAX_BLOCKS = 2000


@dataclass(frozen=True)
class Finding:
    """One report. `file` and `line`: the innermost place in the student's files ('' and 0: there is none)."""

    tool: str  # 'address' | 'leak' | 'undefined' | 'thread'
    kind: str  # the sanitizer's word for it, such as 'heap-buffer-overflow'
    message: str
    file: str
    line: int
    function: str
    detail: str  # the places, one a line; the student's own first


def parse(text: str, sources: Collection[str]) -> list[Finding]:
    """The findings in `text`, in order, the same place and kind only once, at most MAX_FINDINGS.

    `sources` are the names of the student's files. Leaks and thread reports without any place in them come
    from elsewhere (Python leaks, too) and are left out. Never raises.
    """
    found: dict[tuple[str, str, str, int, str], Finding] = {}
    for block in islice(_blocks(text[:MAX_TEXT]), MAX_BLOCKS):
        for item in _findings(block, frozenset(sources)):
            found.setdefault((item.tool, item.kind, item.file, item.line, item.function), item)
        if len(found) >= MAX_FINDINGS:
            break
    return list(found.values())[:MAX_FINDINGS]


# --- reports and their frames ----------------------------------------------------------------------------
_MEMORY = re.compile(r"==\d+==\s?ERROR: (?:Address|UndefinedBehavior|Thread)Sanitizer: (?P<what>.+)")
_LEAKS = re.compile(r"==\d+==\s?ERROR: LeakSanitizer: ")
_THREADS = re.compile(r"WARNING: ThreadSanitizer: (?P<what>.+?)(?: \(pid=\d+\))?$")
_UNDEFINED = re.compile(
    r"(?P<path>[^:\n]{1,400}):(?P<line>\d{1,9}):(?:\d{1,9}:)? runtime error: (?P<what>.+)"
)
_END = re.compile(r"SUMMARY: \w+Sanitizer|==\d+==ABORTING|={18}$")
_FRAME = re.compile(r"\s*#\d{1,4} (?:0x[0-9a-fA-F]+ )?(?:in )?(?P<rest>.*)")
_MODULE = re.compile(r"\s*\((?P<name>[^()]*)\)$")
_PLACE = re.compile(r"(?P<path>.+?):(?P<line>\d{1,9})(?::\d{1,9})?$")

# What belongs to the grader or to the run time, by function, by file, by module.
_FOREIGN_FUNCTION = re.compile(
    r"_?Py[A-Z_]|_?cffi_|ffi_|__libc_start|_start$|start_thread$|clone3?$|__(?:asan|tsan|ubsan|lsan|sanitizer)"
    r"|0x|$"
)
_FOREIGN_FILE = re.compile(
    r"libsanitizer/|sysdeps/|/csu/|(?:^|/)(?:w|wrapper|_cffi\w*|guest_support|promises|faults)\.c$"
    r"|/(?:Python|Objects|Modules|Programs)/\w+\.c$"
)
_FOREIGN_MODULE = re.compile(
    r"(?:^|/)(?:python[\d.]*|libpython[^/]*|lib(?:asan|tsan|ubsan|lsan|ffi)\b[^/]*|_cffi[^/]*)\+0x"
)
_INTERCEPTED = re.compile(r"(?:__interceptor_|___interceptor_|__interceptor_trampoline_)?(?P<name>\w+)$")


@dataclass(frozen=True)
class _Frame:
    function: str
    path: str
    line: int
    module: str

    @property
    def foreign(self) -> bool:
        return bool(
            _FOREIGN_FUNCTION.match(self.function)
            or _FOREIGN_FILE.search(self.path)
            or _FOREIGN_MODULE.search(self.module)
        )

    @property
    def place(self) -> str:
        return f"{_base(self.path)}:{self.line}" if self.line else _base(self.module.partition("+")[0])


@dataclass(frozen=True)
class _Section:
    """A line of a report, and the frames right below it."""

    title: str
    frames: tuple[_Frame, ...]

    def own(self, sources: Collection[str]) -> _Frame | None:
        """The innermost frame in the student's files."""
        return next((frame for frame in self.frames if frame.line and _is_own(frame.path, sources)), None)

    def inside(self, sources: Collection[str]) -> tuple[_Frame, ...]:
        """The frames up to the student's outermost: what called that is the grader, or the run time."""
        own = [i for i, frame in enumerate(self.frames) if frame.line and _is_own(frame.path, sources)]
        return self.frames[: own[-1] + 1] if own else self.frames


@dataclass(frozen=True)
class _Block:
    tool: str
    what: str
    sections: tuple[_Section, ...]
    path: str = ""  # of an UndefinedBehaviorSanitizer report, which says it on its first line
    line: int = 0


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _is_own(path: str, sources: Collection[str]) -> bool:
    return any(path == name or path.endswith("/" + name) for name in sources if name)


def _blocks(text: str) -> Iterator[_Block]:
    start: tuple[str, str, str, int] | None = None
    lines: list[str] = []
    for raw in text.splitlines():
        line = raw[:MAX_LINE].rstrip()
        opening = _opening(line)
        if opening or (_END.match(line) and start):
            if start:
                yield _block(start, lines)
            start, lines = opening, []
        elif start and len(lines) < MAX_BLOCK:
            lines.append(line)
    if start:
        yield _block(start, lines)


def _opening(line: str) -> tuple[str, str, str, int] | None:
    if "Sanitizer" in line:
        if match := _MEMORY.match(line):
            return "address", match["what"], "", 0
        if _LEAKS.match(line):
            return "leak", "", "", 0
        if match := _THREADS.match(line):
            return "thread", match["what"], "", 0
    if "runtime error: " in line and (match := _UNDEFINED.match(line)):
        return "undefined", match["what"], match["path"], int(match["line"])
    return None


def _block(start: tuple[str, str, str, int], lines: Sequence[str]) -> _Block:
    sections: list[_Section] = []
    title, frames = "", list[_Frame]()
    for line in lines:
        if frame := _frame(line):
            frames.append(frame)
        elif line.strip():
            sections.append(_Section(title, tuple(frames)))
            title, frames = line.strip(), []
    sections.append(_Section(title, tuple(frames)))
    tool, what, path, number = start
    return _Block(tool, what, tuple(s for s in sections if s.title or s.frames), path, number)


def _frame(line: str) -> _Frame | None:
    match = _FRAME.match(line)
    if not match:
        return None
    rest, module = match["rest"], ""
    for _ in range(2):  # (libx.so+0x12) (BuildId: ...)
        if tail := _MODULE.search(rest):
            rest = rest[: tail.start()]
            module = tail["name"] if "+0x" in tail["name"] else module
    function, _, where = rest.strip().partition(" ")
    place = _PLACE.match(where)
    if not place:
        return _Frame(function, "" if where == "<null>" else where, 0, module)
    return _Frame(function, place["path"], int(place["line"]), module)


# --- sentences -------------------------------------------------------------------------------------------
def _findings(block: _Block, sources: Collection[str]) -> Iterator[Finding]:
    if block.tool == "address":
        yield _address(block, sources)
    elif block.tool == "undefined":
        yield _undefined(block, sources)
    elif block.tool == "leak":
        yield from _leaks(block, sources)
    elif item := _thread(block, sources):
        yield item


def _finding(tool: str, kind: str, message: str, frame: _Frame | None, detail: str) -> Finding:
    if frame is None:
        return Finding(tool, kind, message, "", 0, "", detail)
    return Finding(tool, kind, message, _base(frame.path), frame.line, frame.function, detail)


def _detail(sections: Iterable[_Section], sources: Collection[str]) -> str:
    frames = [frame for section in sections for frame in section.inside(sources)]
    own = [f for f in frames if f.line and _is_own(f.path, sources)]
    others = [f for f in frames if not f.foreign and not _is_own(f.path, sources)]
    lines = (f"in {f.function} ({f.place})" if f.place else f"in {f.function}" for f in [*own, *others])
    return "\n".join(list(dict.fromkeys(lines))[:MAX_FRAMES])


def _bytes(count: str) -> str:
    return f"{int(count)} byte{'' if int(count) == 1 else 's'}"


def _by(section: _Section | None, sources: Collection[str], did: str) -> str:
    """' that pack_a allocated (gemm.c:88)', or '' when no function of the student did."""
    frame = section.own(sources) if section else None
    return f" that {frame.function} {did} ({frame.place})" if frame else ""


def _titled(block: _Block, pattern: str) -> _Section | None:
    return next((section for section in block.sections if re.search(pattern, section.title)), None)


_ACCESS = re.compile(r"(READ|WRITE) of size (\d{1,19}) ")
_REGION = re.compile(
    r"is located (?P<distance>\d{1,19}) bytes "
    r"(?P<side>to the right of|to the left of|inside of|after|before) "
    r"(?:(?P<size>\d{1,19})-byte region"
    r"|global variable '(?P<name>[^']*)'.* of size (?P<global>\d{1,19}))"
)
_VARIABLE = re.compile(
    r"\[(?P<from>\d{1,9}), (?P<to>\d{1,9})\) '(?P<name>[^']*)'"
    r".*<== Memory access at offset \d+ (?P<how>[\w ]+) this variable"
)
_KINDS = (
    (r"attempting double-free", "double-free"),
    (r"attempting free on address which was not", "bad-free"),
    (r"requested allocation size", "allocation-size-too-big"),
    (r"calloc parameters overflow", "calloc-overflow"),
    (r"allocator is out of memory|out of memory", "out-of-memory"),
    (r"([A-Za-z][\w-]+)", None),
)


def _kind(what: str) -> str:
    for pattern, kind in _KINDS:
        if match := re.match(pattern, what):
            return kind or match[1]
    return "error"


def _address(block: _Block, sources: Collection[str]) -> Finding:
    kind = _kind(block.what)
    access = next((m for s in block.sections if (m := _ACCESS.match(s.title))), None)
    section = _titled(block, r"^(?:READ|WRITE) of size") or next(
        (s for s in block.sections if s.frames), None
    )
    innermost = section.own(sources) if section else None
    frame = innermost or next((f for s in block.sections if (f := s.own(sources))), None)
    called = _called(section, innermost)
    message = _address_message(kind, block, sources, access, called)
    return _finding("address", kind, message, frame, _detail(block.sections[:3], sources))


def _called(section: _Section | None, innermost: _Frame | None) -> str:
    """The library function in which it happened (memset, free), '' if it was the student's own line."""
    if not section or not section.frames or section.frames[0] == innermost:
        return ""
    match = _INTERCEPTED.match(section.frames[0].function)
    return match["name"] if match and not section.frames[0].function.startswith(("Py", "0x")) else ""


def _address_message(
    kind: str, block: _Block, sources: Collection[str], access: re.Match[str] | None, called: str
) -> str:
    verb = "writes" if access and access[1] == "WRITE" else "reads"
    act = f"{called} {verb}" if called else verb.capitalize()
    amount = _bytes(access[2]) if access else "memory"
    freed = _by(_titled(block, r"^freed by"), sources, "freed").replace(" that ", ", after ", 1)
    freed = freed.replace(" freed (", " freed it (")
    if kind == "double-free":
        return f"Frees a second time {_region(block, sources)[1]}{freed}."
    if kind == "bad-free":
        return "Frees an address that malloc did not return: free exactly what malloc gave, and nothing else."
    if kind == "heap-use-after-free":
        return f"{act} {amount} of {_region(block, sources)[1]}{freed}."
    if kind in ("stack-use-after-scope", "stack-use-after-return"):
        return f"{act} {amount} of {_variable(block)[1]} after its block or function has ended."
    if kind.endswith(("buffer-overflow", "buffer-underflow")):
        where, what = _variable(block) if kind.startswith("stack-") else _region(block, sources)
        if kind.startswith("dynamic-stack"):
            where, what = "past the end of", "an array of variable length"
        runs = f"{act} {amount} and goes" if called else f"{act} {amount}"
        return f"{runs} {where} {what}."
    return _other_message(kind, block, called)


def _other_message(kind: str, block: _Block, called: str) -> str:
    text = " ".join(section.title for section in block.sections[:4])
    if kind in ("SEGV", "BUS"):
        doing = "Writes" if "WRITE memory access" in text else "Reads"
        if "zero page" in text or "address 0x000000000000" in block.what:
            return f"{doing} through a null pointer."
        return f"{doing} at an address where there is no memory: a pointer is wild, or an index far outside."
    if kind == "stack-overflow":
        return "The stack is full: a recursion does not end, or a local array is very large."
    if kind.endswith("-param-overlap"):
        return f"{called or kind.partition('-')[0]} copies between places that overlap: use memmove."
    if kind == "negative-size-param":
        return f"{called or 'A function'} is asked for a negative number of bytes."
    if kind in ("allocation-size-too-big", "calloc-overflow", "out-of-memory"):
        return f"{called or 'malloc'} is asked for far too much memory: the size is negative or overflowed."
    if kind == "alloc-dealloc-mismatch":
        return "Memory is given back with the wrong function: free belongs to malloc."
    if kind == "FPE":
        return "Divides an integer by zero (or the smallest integer by -1)."
    if kind == "ILL":
        return "Runs into an instruction that this machine does not have, or into a failed check."
    return f"The sanitizer stopped the program: {kind}."


def _region(block: _Block, sources: Collection[str]) -> tuple[str, str]:
    """Where it lies ('past the end of'), and of what ('a block of 8 bytes that f allocated (x.c:3)')."""
    match = next((m for s in block.sections if (m := _REGION.search(s.title))), None)
    if not match:
        return "outside", "a block of memory"
    if match["name"] is not None:
        what = f"the global variable '{match['name']}' ({_bytes(match['global'])})"
    else:
        allocated = _by(_titled(block, r"allocated by"), sources, "allocated")
        what = f"a block of {_bytes(match['size'])}{allocated}"
    return _side(match["side"], int(match["distance"]), block), what


def _side(side: str, distance: int, block: _Block) -> str:
    access = next((m for s in block.sections if (m := _ACCESS.match(s.title))), None)
    if side in ("to the left of", "before"):
        near = access is not None and distance <= int(access[2])
        return "before the start of" if near else f"{_bytes(str(distance))} before the start of"
    if side in ("to the right of", "after"):
        return "past the end of" if distance == 0 else f"{_bytes(str(distance))} past the end of"
    return "inside"


def _variable(block: _Block) -> tuple[str, str]:
    match = next((m for s in block.sections if (m := _VARIABLE.search(s.title))), None)
    if not match:
        return "outside", "a local variable"
    what = f"the variable '{match['name']}' ({_bytes(str(int(match['to']) - int(match['from'])))})"
    how = match["how"]
    if "underflow" in how:
        return "before the start of", what
    return "past the end of" if "overflow" in how else "inside", what


_LEAK = re.compile(r"(Direct|Indirect) leak of (\d{1,19}) byte\(s\) in (\d{1,19}) object\(s\)")


def _leaks(block: _Block, sources: Collection[str]) -> Iterator[Finding]:
    """Direct leaks; the indirect ones hang on them and go away with them."""
    leaks = [(m, s) for s in block.sections if (m := _LEAK.match(s.title))]
    direct = [(m, s) for m, s in leaks if m[1] == "Direct" and s.own(sources)]
    for match, section in direct or leaks:
        frame = section.own(sources)
        if frame:
            count = int(match[3])
            blocks = "a block" if count == 1 else f"{count} blocks"
            message = f"Never frees {blocks} of {_bytes(match[2])}{' in all' if count > 1 else ''}"
            message += f" that {frame.function} allocated here."
            yield _finding("leak", "leak", message, frame, _detail([section], sources))


_SIDE = re.compile(
    r"(?:Previous )?(?P<how>(?:atomic )?(?:read|write))(?: of size \d+)? at 0x[0-9a-fA-F]+"
    r" by (?P<who>main thread|thread T\d+)",
    re.IGNORECASE,
)
_LOCATION = re.compile(
    r"Location is (?:global '(?P<name>[^']*)'|heap block of size (?P<size>\d{1,19})"
    r"|(?P<stack>stack of [\w ]+\w))"
)
_THREAD_MESSAGES = (
    ("thread leak", "This thread is never joined: call pthread_join for every thread that was created."),
    ("unlock of an unlocked mutex", "Unlocks a mutex that is not locked, or that another thread locked."),
    ("destroy of a locked mutex", "Destroys a mutex that is still locked."),
    ("double lock", "Locks a mutex that the same thread holds already: it would wait for itself for ever."),
    ("use of an invalid mutex", "Uses a mutex that was never initialised, or was destroyed."),
    ("read lock of a write locked", "Locks a read-write lock that it holds for writing already."),
    (
        "signal-unsafe call",
        "Calls a function in a signal handler that is not allowed there (malloc, printf, ...).",
    ),
    (
        "signal handler spoils errno",
        "The signal handler changes errno: save it first and restore it at the end.",
    ),
)


def _thread(block: _Block, sources: Collection[str]) -> Finding | None:
    kind = block.what.partition(" (")[0]
    frame = next((f for s in block.sections if (f := s.own(sources))), None)
    if frame is None:
        return None
    sides = [(m, s) for s in block.sections if (m := _SIDE.match(s.title))]
    if kind.startswith("lock-order-inversion"):
        places = [f.place for s in block.sections if "acquired here" in s.title and (f := s.own(sources))]
        message = "Mutexes are locked in opposite orders"
        message += f" ({' and '.join(dict.fromkeys(places))})" if places else ""
        message += ": two threads can wait for each other for ever."
    elif len(sides) >= 2:
        message = _race(kind, sides[0], sides[1], _location(block, sources), sources)
    else:
        message = next(
            (text for word, text in _THREAD_MESSAGES if kind.startswith(word)), f"{kind.capitalize()}."
        )
    frames = [s for s in block.sections if not s.title.startswith("Thread T")] or list(block.sections)
    if kind == "thread leak":
        frames = list(block.sections)
    return _finding("thread", kind, message, frame, _detail(frames, sources))


def _location(block: _Block, sources: Collection[str]) -> str:
    for section in block.sections:
        if match := _LOCATION.match(section.title):
            if match["name"] is not None:
                return match["name"]
            if match["size"] is not None:
                return f"a block of {_bytes(match['size'])}{_by(section, sources, 'allocated')}"
            return f"the {match['stack']}"
    return "the same memory"


_ENDS = {
    "free": "frees",
    "realloc": "frees or moves",
    "munmap": "unmaps",
    "pthread_mutex_destroy": "destroys",
    "pthread_cond_destroy": "destroys",
}
"""What a function does to the memory that it is given: after it nobody may use that."""


def _race(
    kind: str,
    first: tuple[re.Match[str], _Section],
    second: tuple[re.Match[str], _Section],
    what: str,
    sources: Collection[str],
) -> str:
    def side(match: re.Match[str], section: _Section, thing: str, freed: bool = False) -> str:
        who = match["who"] if match["who"].startswith("thread") else "the main thread"
        called = _called(section, section.own(sources))
        does = _ENDS.get(called) or ("frees" if freed else match["how"].lower() + "s")
        inside = f" in {called}" if called.startswith("pthread_") and called not in _ENDS else ""
        frame = section.own(sources)
        return f"{who} {does} {thing}{inside}" + (f" at {frame.place}" if frame else "")

    freed = kind.startswith("heap-use-after-free")
    one, two = side(*first, what), side(*second, "it", freed)
    # A thread that only unlocks, or has done its last step, is not ordered before the end of what it does that with.
    ends = any(_called(section, section.own(sources)) in _ENDS for _, section in (first, second))
    if freed:
        ending = "the memory may be gone"
    elif ends:
        ending = "the thread may still be using it; join it (pthread_join) before"
    else:
        ending = "use a mutex for both, or give each its own"
    return f"{one[0].upper()}{one[1:]} while {two}: {ending}."


# --- undefined behaviour ---------------------------------------------------------------------------------
# What UndefinedBehaviorSanitizer says, a short name for it, and the sentence ({0}, {1}: the groups).
_UNDEFINED_MESSAGES: tuple[tuple[str, str, str], ...] = (
    (
        "signed integer overflow: (.+) cannot be represented in type '(.+)'",
        "signed-integer-overflow",
        "{0} does not fit in {1}: compute in a larger type, such as size_t or int64_t.",
    ),
    (
        "negation of (.+) cannot be represented in type '(.+)'",
        "signed-integer-overflow",
        "The negative of {0} does not fit in {1}.",
    ),
    (
        "division of (.+) by -1 cannot be represented",
        "signed-integer-overflow",
        "{0} divided by -1 does not fit its type.",
    ),
    (
        "division by zero",
        "division-by-zero",
        "Divides by zero.",
    ),
    (
        r"shift exponent (.+) is too large for (\d+)-bit type",
        "shift",
        "Shifts by {0}, but the type has {1} bits: convert to uint64_t first, or check the amount.",
    ),
    (
        "shift exponent (.+) is negative",
        "shift",
        "Shifts by {0}: the amount must not be negative.",
    ),
    (
        "left shift of (.+)",
        "shift",
        "Left shift of {0}: shift unsigned values.",
    ),
    (
        "index (.+) out of bounds for type '(.+)'",
        "bounds",
        "Index {0} is outside the array of type {1}.",
    ),
    (
        "load of null pointer|member access within null pointer",
        "null-pointer",
        "Reads through a null pointer.",
    ),
    (
        "store to null pointer",
        "null-pointer",
        "Writes through a null pointer.",
    ),
    (
        r"null pointer passed as argument (\d+)",
        "null-pointer",
        "Passes a null pointer as argument {0}, where it is not allowed.",
    ),
    (
        "applying (?:non-)?zero offset .*null pointer",
        "null-pointer",
        "Computes with a null pointer.",
    ),
    (
        r"(load|store|member access|upcast).* misaligned address \S+ for type '(.+)', which "
        r"requires (\d+) byte alignment",
        "misaligned",
        "The address is not a multiple of {2}, which {1} needs: use memcpy or an unaligned load.",
    ),
    (
        "(?:load|store|member access).*insufficient space for an object of type '(.+)'",
        "object-size",
        "The memory here is too small for a value of type {0}.",
    ),
    (
        "(.+) is outside the range of representable values of type '(.+)'",
        "float-cast",
        "{0} does not fit in {1}: check before converting.",
    ),
    (
        "load of value (.+), which is not a valid value for type '(.+)'",
        "invalid-value",
        "{0} is no valid {1}: was it ever initialised?",
    ),
    (
        r"passing zero to (\w+)\(\)",
        "builtin",
        "{0} of 0 is undefined: check for 0 first.",
    ),
    (
        "execution reached an unreachable|execution reached the end of a value-returning",
        "unreachable",
        "Gets to a place that it promised never to reach; often a missing return.",
    ),
    (
        "pointer index expression|addition of unsigned offset|subtraction of unsigned offset",
        "pointer-overflow",
        "The pointer computation leaves the address space: an index is negative or huge.",
    ),
    (
        "variable length array bound evaluates to non-positive value (.+)",
        "vla-bound",
        "An array of length {0}: the length must be positive.",
    ),
    (
        "call to function .* through pointer to incorrect function type",
        "function-type",
        "Calls a function through a pointer of another type.",
    ),
)


def _undefined(block: _Block, sources: Collection[str]) -> Finding:
    kind, message = "undefined-behaviour", f"Undefined behaviour: {block.what}."
    for pattern, name, sentence in _UNDEFINED_MESSAGES:
        if match := re.match(pattern, block.what):
            kind, message = name, sentence.format(*match.groups())
            break
    frame = next((f for s in block.sections if (f := s.own(sources))), None)
    if frame is None or _is_own(block.path, sources):
        function = frame.function if frame else ""
        frame = _Frame(function, block.path, block.line, "")
    return _finding(
        "undefined", kind, message, frame, _detail(block.sections, sources) or f"in {frame.place}"
    )
