"""Does a submission change what the lab fixes: the optimisation flags, the instruction set, the sanitizers?

One job: find, in the student's own text, the pragmas, attributes and directives that would. The text is
looked at twice. The raw sources show what was written, also inside macros and #if 0; the output of `gcc -E`
shows what macros make of it. The second is cut into files by its line markers (`# 12 "gemm.c" 2`), so nothing
may be able to forge these: the raw sources may hold no #line, no `# 12 "..."`, no raw string (it could hold a
marker after a newline) and no comment that a compiler could read differently than we do. Trigraphs are off
under -std=gnu11; both readings are checked all the same. Everything that is no system header (marker flag 3)
is treated as the student's, since a macro can put an attribute into the lab's header. In system headers only
`optimize` and unpaired option pragmas are looked for, as immintrin.h rightly uses `target`. This is a rule
book, not a sandbox: it protects the meaning of the measured numbers; the trust split protects the grade.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

MAX_VIOLATIONS = 100
MAX_TEXT = 160  # characters of a violation's text


@dataclass(frozen=True)
class Violation:
    """What the rules of the lab do not allow: where (line from 1), its text, the rule, and what to do."""

    file: str
    line: int
    text: str
    rule: str
    message: str


MESSAGES: Mapping[str, str] = {
    "optimisation": "Please remove this: it changes the compiler's optimisation, and the lab measures all"
    " with the same flags. Write by hand what it would do for you.",
    "instruction set": "Please remove this: it changes the instruction set. The lab pins it so that all are"
    " compared on the same. Use the intrinsics that the lab's flags allow.",
    "openmp": "Please remove this: OpenMP and OpenACC are not part of the lab."
    " Write the vector code and start the threads yourself.",
    "floating point": "Please remove this: it changes how floating-point arithmetic is compiled,"
    " which the lab fixes.",
    "warnings": "Please remove this: it hides warnings, and the lab counts them. Mend what they point to.",
    "sanitizer": "Please remove this: it hides code from the sanitizers, which find memory errors and races.",
    "_Pragma": "Please remove this: _Pragma can change how the compiler works from inside a macro.",
    "line directive": "Please remove this: it renames your lines, and then no message could point to them.",
    "raw string": 'Please write this as an ordinary string: R"(...)" is C++, and can hide code.',
    "unclear comment": "Please move this comment or quote to its own line: between < and > of a directive"
    " it could also be part of a file's name.",
    "unbalanced options": "A header before this line left the compiler's options changed: please do not"
    " redefine names that system headers use.",
}

# The first words of a pragma -> the rule it breaks. What is not here (once, pack, message, ...) is harmless.
_PRAGMAS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?:GCC|clang) +(?:optimize|ivdep|unroll|novector|loop)\b"), "optimisation"),
    (re.compile(r"(?:GCC|clang) +(?:push_options|pop_options|reset_options)\b"), "optimisation"),
    (re.compile(r"(?:GCC +)?(?:ivdep|simd|vector|novector|unroll|nounroll|optimize)\b"), "optimisation"),
    (re.compile(r"(?:GCC +target|clang +attribute)\b"), "instruction set"),
    (re.compile(r"(?:omp|acc)\b"), "openmp"),
    (re.compile(r"STDC\b|clang +fp\b|float_control\b|fp_contract\b|fenv_access\b"), "floating point"),
    (re.compile(r"(?:GCC|clang) +(?:diagnostic|system_header)\b"), "warnings"),
)

# An attribute's name without its outer underscores -> the rule it breaks.
_ATTRIBUTES: Mapping[str, str] = {
    "optimize": "optimisation",
    "optnone": "optimisation",
    "simd": "optimisation",
    "target": "instruction set",
    "target_clones": "instruction set",
    "target_version": "instruction set",
    "no_sanitize": "sanitizer",
    "no_sanitize_address": "sanitizer",
    "no_address_safety_analysis": "sanitizer",
    "no_sanitize_thread": "sanitizer",
    "no_sanitize_undefined": "sanitizer",
    "no_sanitize_coverage": "sanitizer",
    "disable_sanitizer_instrumentation": "sanitizer",
}


def check(preprocessed: str, sources: Mapping[str, str]) -> list[Violation]:
    """All violations, in the order of the sources and then of the preprocessed text; at most MAX_VIOLATIONS.

    `preprocessed` is the output of `gcc -E` with line markers, with the flags of the build, of one or several
    of the sources, one after the other; `sources` maps the student's file names to their text. A violation
    that both show is listed once. Never raises.
    """
    found: dict[tuple[str, int, str], Violation] = {}
    for name, text in sources.items():
        for item in _check_raw(name, text):
            found.setdefault((item.file, item.line, item.rule), item)
    for item in _check_preprocessed(preprocessed, frozenset(sources)):
        found.setdefault((item.file, item.line, item.rule), item)
        if len(found) >= MAX_VIOLATIONS:
            break
    return list(found.values())[:MAX_VIOLATIONS]


def fits_kernels(item: Violation) -> bool:
    """Is this no violation in CUDA? It is C++, where inline PTX is a raw string, and loops over registers must be
    unrolled by the compiler: `#pragma unroll` is how every kernel says so."""
    return item.rule == "raw string" or bool(_UNROLL.match(item.text))


_UNROLL = re.compile(r"#\s*pragma\s+(?:no)?unroll\b")


def included_files(preprocessed: str) -> list[str]:
    """The files that the line markers say were entered by #include, directly or not, each once, in order."""
    names = (m.name for m in _markers(preprocessed) if "1" in m.flags and not m.name.startswith("<"))
    return list(dict.fromkeys(names))


def _violation(file: str, line: int, text: str, rule: str) -> Violation:
    shown = " ".join(text.split())
    shown = shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 3] + "..."
    return Violation(file, line, shown, rule, MESSAGES[rule])


# --- the raw sources -------------------------------------------------------------------------------------
_TRIGRAPHS = {"=": "#", "/": "\\", "'": "^", "(": "[", ")": "]", "!": "|", "<": "{", ">": "}", "-": "~"}
_TRIGRAPH = re.compile(r"\?\?([=/'()!<>-])")
# The end of a line, or a continued line: gcc joins them also where blanks follow the backslash.
_LINE_END = re.compile(r"\\[ \t\f\v\0\r]*\n|\n")
_LEXEME = re.compile(
    r"""(?P<comment>/\*(?s:.*?)(?:\*/|\Z)|//[^\n]*)
      |(?P<raw>(?<![A-Za-z0-9_$])(?:u8|[uUL])?R")
      |(?P<string>"(?:[^"\\\n]|\\[^\n])*(?:"|\\?(?=\n|\Z)))
      |(?P<character>'(?:[^'\\\n]|\\[^\n])*(?:'|\\?(?=\n|\Z)))
      |(?P<newline>\n)
      |(?P<code>[A-Za-z0-9_$]+|[^A-Za-z0-9_$"'/\n]+|.)""",
    re.VERBOSE,
)
_DIRECTIVE = re.compile(r"[\s\0]*(?:\#|%:)[\s\0]*(?P<word>\w*)(?P<rest>.*)", re.DOTALL)
_OPERATOR = re.compile(r"(?<![A-Za-z0-9_$])(?:_Pragma|__pragma)(?![A-Za-z0-9_$])")


@dataclass(frozen=True)
class _Line:
    """A logical line of a file, without comments and with its strings; `number` is where it begins."""

    file: str
    number: int
    text: str


def _check_raw(name: str, text: str) -> Iterator[Violation]:
    readings = [text]
    if "??/" in text or "??=" in text:
        readings.append(_TRIGRAPH.sub(lambda match: _TRIGRAPHS[match[1]], text))
    for reading in readings:
        yield from _check_reading(name, reading.removeprefix("\ufeff"))


def _check_reading(name: str, text: str) -> Iterator[Violation]:
    spliced, line_of = _splice(text)
    reader = _Reader(name, spliced, line_of)
    lines = reader.read()
    yield from reader.unclear
    for line in lines:
        directive = _DIRECTIVE.match(line.text)
        rule = _directive_rule(directive["word"], directive["rest"]) if directive else None
        if rule:
            yield _violation(name, line.number, line.text, rule)
        if _OPERATOR.search(_without_strings(line.text)):
            yield _violation(name, line.number, line.text, "_Pragma")
    yield from _attributes(lines)


@dataclass(frozen=True)
class _LineOf:
    """From an offset in a spliced text to the line of the text that it came from."""

    starts: list[int]

    def __call__(self, offset: int) -> int:
        return bisect_right(self.starts, offset)


def _splice(text: str) -> tuple[str, _LineOf]:
    """`text` with continued lines joined, and which line of `text` an offset in the result lies on."""
    parts: list[str] = []
    starts = [0]
    position = length = 0
    for match in _LINE_END.finditer(text):
        part = text[position : match.start()] + ("\n" if match[0] == "\n" else "")
        parts.append(part)
        length += len(part)
        starts.append(length)
        position = match.end()
    parts.append(text[position:])
    return "".join(parts), _LineOf(starts)


class _Reader:
    """Cuts a spliced source into logical lines, and notes where the compiler may read it differently."""

    def __init__(self, name: str, text: str, line_of: _LineOf) -> None:
        self.name = name
        self.text = text
        self.line_of = line_of
        self.unclear: list[Violation] = []

    def read(self) -> list[_Line]:
        lines: list[_Line] = []
        pieces: list[str] = []
        start: int | None = None  # of the first thing on the line
        angle = noted = False  # is there a < without its > before this place? has that been looked at?
        for match in _LEXEME.finditer(self.text + "\n"):
            kind, piece = match.lastgroup, match[0]
            if kind == "newline":
                if start is not None:
                    lines.append(_Line(self.name, self.line_of(start), "".join(pieces)))
                pieces, start, angle, noted = [], None, False, False
                continue
            if kind == "code":
                angle = piece.rfind("<") > piece.rfind(">") or (angle and ">" not in piece)
            elif kind == "raw":
                self._note(match.start(), "raw string")
            elif angle and not noted:
                if ">" in self._rest_of_line(match.start()) and _expands_macros("".join(pieces)):
                    self._note(match.start(), "unclear comment")
                noted = True  # once a line
            pieces.append(" " if kind == "comment" else piece)
            if start is None and kind != "comment" and not piece.isspace():
                start = match.start()
        return lines

    def _rest_of_line(self, offset: int) -> str:
        end = self.text.find("\n", offset)
        return self.text[offset : end if end >= 0 else None]

    def _note(self, offset: int, rule: str) -> None:
        shown = self._rest_of_line(offset)[: 2 * MAX_TEXT]
        self.unclear.append(_violation(self.name, self.line_of(offset), shown, rule))


def _expands_macros(line: str) -> bool:
    """Is this the beginning of a directive in which the compiler may look for a <file name>?

    It does after #include and inside __has_include(...), which macros can spell: wherever it expands macros.
    """
    directive = _DIRECTIVE.match(line)
    fixed = ("define", "error", "warning", "undef", "ifdef", "ifndef", "else", "endif")
    return directive is not None and directive["word"] not in fixed


def _directive_rule(word: str, rest: str) -> str | None:
    if word == "line" or word[:1].isdigit():
        return "line directive"
    return _pragma_rule(rest) if word == "pragma" else None


def _pragma_rule(text: str) -> str | None:
    words = " ".join(text[:1000].split())
    return next((rule for pattern, rule in _PRAGMAS if pattern.match(words)), None)


# --- attributes ------------------------------------------------------------------------------------------
_STRING = re.compile(r""" "(?:[^"\\\n]|\\.)*"? | '(?:[^'\\\n]|\\.)*'? """, re.VERBOSE)
_ATTRIBUTE = re.compile(r"(?<![A-Za-z0-9_$])__attribute(?:__)?(?![A-Za-z0-9_$])|(?:\[|<:)\s*(?:\[|<:)")
_PIECE = re.compile(r"[A-Za-z_]\w*|<:|:>|[()\[\];{}]")


def _without_strings(text: str) -> str:
    """`text` with its strings blanked, of the same length."""
    return _STRING.sub(lambda match: " " * len(match[0]), text) if '"' in text or "'" in text else text


def _attributes(lines: Sequence[_Line]) -> Iterator[Violation]:
    """The forbidden attributes in these lines, which are read as one text: an attribute may span several."""
    text = _without_strings("\n".join(line.text for line in lines))
    starts = list(accumulate((len(line.text) + 1 for line in lines), initial=0))
    match = _ATTRIBUTE.search(text)
    while match:
        names, end = _attribute_names(text, match)
        for word, offset in names:
            rule = _ATTRIBUTES.get(word.strip("_"))
            if rule:
                line = lines[bisect_right(starts, offset) - 1]
                yield _violation(line.file, line.number, line.text, rule)
        match = _ATTRIBUTE.search(text, end)


def _attribute_names(text: str, match: re.Match[str]) -> tuple[list[tuple[str, int]], int]:
    """The names, not the arguments, in `__attribute__((name(argument), ...))` or `[[gnu::name(argument)]]`.

    With each its offset; and the offset where the list ends.
    """
    names: list[tuple[str, int]] = []
    depth = 0 if match[0].startswith("_") else 2
    for piece in _PIECE.finditer(text, match.end()):
        word = piece[0]
        if word.startswith("__attribute"):
            return names, piece.start()  # a list in a list: it is read as one of its own
        if word in ("(", "[", "<:"):
            depth += 1
        elif word in (")", "]", ":>"):
            depth -= 1
            if depth <= 0:
                return names, piece.end()
        elif depth == 0 or (depth <= 2 and word in (";", "{", "}")):
            return names, piece.end()  # no list here
        elif depth <= 2:
            names.append((word, piece.start()))
    return names, len(text)


# --- the preprocessed text -------------------------------------------------------------------------------
_MARKER = re.compile(r'# (\d{1,9}) "((?:[^"\\\n]|\\[^\n])*)"((?: [1-4])*)[ \t\r]*(?:\n|\Z)')
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_PRAGMA = re.compile(r"#[ \t]*pragma\b([^\n]*)")
_WINDOW = 2000  # characters before the word `optimize` in which its attribute list begins


@dataclass(frozen=True)
class _Marker:
    """A line marker, from `start` to `end`: the text after it is line `line` of file `name`."""

    start: int
    end: int
    line: int
    name: str
    flags: str


def _markers(text: str) -> Iterator[_Marker]:
    # Only in the first column: gcc puts a blank before a # that a macro made.
    position = 0 if text.startswith("# ") else text.find("\n# ") + 1
    while position > 0 or text.startswith("# "):
        match = _MARKER.match(text, position)
        if match:
            name = _ESCAPE.sub(lambda m: chr(int(m[1], 8)) if len(m[1]) == 3 else m[1], match[2])
            yield _Marker(match.start(), match.end(), int(match[1]), name, match[3])
        position = text.find("\n# ", match.end() - 1 if match else position) + 1
        if position == 0:
            return


@dataclass(frozen=True)
class _Segment:
    """A stretch of the preprocessed text, from one place of one file; `own`: not from a system header."""

    file: str
    line: int
    start: int
    end: int
    own: bool


def _check_preprocessed(text: str, names: Collection[str]) -> Iterator[Violation]:
    markers = list(_markers(text))
    segments = _segments(text, markers, names)
    yield from _renamings(markers, names)
    yield from _pragmas(text, segments)
    yield from _attributes([line for segment in segments if segment.own for line in _lines(text, segment)])
    yield from _system_attributes(text, segments)


def _segments(text: str, markers: Sequence[_Marker], names: Collection[str]) -> list[_Segment]:
    # A file is the system's if every marker that names it says so (flag 3).
    own = {marker.name for marker in markers if "3" not in marker.flags}
    shown = {marker.name: _shown_name(marker.name, names) for marker in markers}
    own |= {name for name in shown if shown[name] in names}
    segments = [_Segment("", 1, 0, markers[0].start if markers else len(text), True)]
    ends = [*(marker.start for marker in markers[1:]), len(text)]
    for marker, end in zip(markers, ends, strict=False):
        segments.append(_Segment(shown[marker.name], marker.line, marker.end, end, marker.name in own))
    return segments


def _lines(text: str, segment: _Segment) -> list[_Line]:
    pieces = text[segment.start : segment.end].split("\n")
    return [_Line(segment.file, segment.line + i, piece) for i, piece in enumerate(pieces) if piece.strip()]


def _shown_name(path: str, names: Collection[str]) -> str:
    """The student's name of a file that the compiler knows by a path; other paths as they are."""
    path = path.removeprefix("./")
    return path if path in names else next((name for name in names if path.endswith("/" + name)), path)


def _renamings(markers: Sequence[_Marker], names: Collection[str]) -> Iterator[Violation]:
    """A file's name may change only where a file is entered or left; else a #line did it.

    The raw sources show that already; this stands on its own in case they were misread.
    """
    current = "<none>"
    for marker in markers:
        entered = "1" in marker.flags or "2" in marker.flags
        begins = (
            marker.name.startswith("<") or current.startswith("<") or _shown_name(marker.name, names) in names
        )
        if marker.name != current and not (entered or begins):
            text = f'# {marker.line} "{marker.name}"'
            yield _violation(_shown_name(current, names), marker.line, text, "line directive")
        current = marker.name


def _pragmas(text: str, segments: Sequence[_Segment]) -> Iterator[Violation]:
    """Forbidden pragmas in the own segments, and system headers that leave the options changed."""
    depth = 0  # of push_options in system headers
    for segment in segments:
        if segment.own and depth and text[segment.start : segment.end].strip():
            yield _violation(segment.file, segment.line, "", "unbalanced options")
            depth = 0
        for match in _PRAGMA.finditer(text, segment.start, segment.end):
            if text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip(" \t"):
                continue  # in a string, say
            rule = _pragma_rule(match[1])
            words = match[1].split()[:2]
            if not segment.own:
                if words == ["GCC", "push_options"]:
                    depth += 1
                    continue
                if words == ["GCC", "pop_options"]:
                    depth -= 1
                    continue
                if rule == "warnings" or (rule == "instruction set" and depth > 0):
                    continue  # what immintrin.h and others rightly do
            if rule:
                number = segment.line + text.count("\n", segment.start, match.start())
                yield _violation(segment.file, number, match[0], rule)


def _system_attributes(text: str, segments: Sequence[_Segment]) -> Iterator[Violation]:
    """`optimize` attributes that a macro of the student put into a system header; none has one of its own."""
    starts = [segment.start for segment in segments]
    position = text.find("optimize")
    while position >= 0:
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        segment = segments[bisect_right(starts, position) - 1]
        if not segment.own and position < segment.end:
            window = text[max(segment.start, position - _WINDOW) : end]
            number = segment.line + text.count("\n", segment.start, position)
            for item in _attributes([_Line(segment.file, number, window)]):
                if item.rule == "optimisation":
                    yield _violation(
                        item.file, number, text[text.rfind("\n", 0, position) + 1 : end], item.rule
                    )
        position = text.find("optimize", end)
