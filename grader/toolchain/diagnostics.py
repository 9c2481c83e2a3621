"""What the compiler and the linker said, made readable for a student.

One job: text of gcc, clang and ld in, `Diagnostic` values out, each with the student's line and, for the
commonest mistakes, a sentence from hints.yaml that says what to do. Nothing here runs a compiler, and no
text, however hostile, raises.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

MAX_TEXT = 4 << 20  # characters of compiler output that are read
MAX_DIAGNOSTICS = 200
MAX_ARRAYS = 200  # one for each source; what a broken one costs to report grows with the text
MAX_MESSAGE = 1000
MAX_NOTES = 6
MAX_CHILDREN = 30
MAX_NOTE = 300
WIDTH = 100  # columns of a source line shown around the caret
TAB = 4


@dataclass(frozen=True)
class Diagnostic:
    """One message of the compiler or the linker.

    `line` and `column` count from 1; 0 means unknown. `column` counts bytes of the UTF-8 line where the
    compiler says so (JSON), else it is what its text says. `option` is the warning's switch, such as
    '-Wunused-variable', also when it was turned into an error. `notes` are the compiler's own remarks, each
    with its place if it has one.
    """

    file: str
    line: int
    column: int
    severity: str  # 'error' | 'warning' | 'note'
    message: str
    option: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()


# --- hints -----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Hint:
    """One entry of hints.yaml: the mistake's name, what the compiler says of it, what to tell the student."""

    mistake: str
    when: re.Pattern[str]
    say: str


@cache
def _data() -> Mapping[str, Any]:
    import yaml  # only once there is a message to explain: importing this module must stay cheap

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data: Mapping[str, Any] = yaml.load(Path(__file__).with_name("hints.yaml").read_text("utf-8"), loader)
    return data


@cache
def hints() -> tuple[Hint, ...]:
    """The table of hints, in the order in which they are tried."""
    return tuple(Hint(h["mistake"], re.compile(h["when"]), h["say"]) for h in _data()["hints"])


def header_of(name: str) -> str | None:
    """The standard header that declares `name`, if it is one of the names that students commonly use."""
    headers: Mapping[str, Sequence[str]] = _data()["headers"]
    return next((h for h, patterns in headers.items() for p in patterns if re.fullmatch(p, name)), None)


def hint_for(message: str, option: str = "") -> str:
    """What to tell the student about this message; '' if we know nothing better than the compiler."""
    text = plain_quotes(message[:MAX_MESSAGE]) + (f" [{option}]" if option else "")
    for hint in hints():
        if match := hint.when.search(text):
            groups = [group for group in match.groups() if group] or [""]
            header = header_of(groups[0]) if "{header}" in hint.say else ""
            if header is not None:
                return hint.say.format(*groups, header=header)
    return ""


# --- reading ---------------------------------------------------------------------------------------------
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "`": "'"})
_SEVERITY = {
    "error": "error",
    "fatal error": "error",
    "sorry, unimplemented": "error",
    "internal compiler error": "error",
    "warning": "warning",
    "pedwarn": "warning",
    "note": "note",
}


def plain_quotes(text: str) -> str:
    """`text` with typographic quotes and ld's `x' made plain, and what no encoding accepts replaced."""
    return text.translate(_QUOTES).encode("utf-8", "replace").decode("utf-8", "replace")


def parse(text: str, folder: str = "") -> list[Diagnostic]:
    """The messages in what gcc and ld wrote to stderr, in order, each with its hint.

    Reads `-fdiagnostics-format=json` and `=sarif-stderr` (also cut short, and with other text around them) and the
    plain text of gcc, clang, the assembler and ld. Notes join the message before them. At most MAX_DIAGNOSTICS are
    returned.
    `folder` is where the sources were compiled: the linker names files by their full path; here the files in
    it are named relative to it.
    """
    text = text[:MAX_TEXT]
    found: list[Diagnostic] = []
    position = 0
    for _ in range(MAX_ARRAYS):
        opening = _OPENING.search(text, position)
        if opening is None:
            break
        found += _from_text(text[position : opening.start()])
        if opening["sarif"]:
            results, position = _results(text, opening.start())
            found += [d for item in results for d in _from_sarif(item)]
        else:
            objects, position = _objects(text, opening.start())
            found += [d for item in objects for d in _from_json(item)]
    found += _from_text(text[position:])
    merged = list(islice(_join_notes(found), MAX_DIAGNOSTICS))
    if any(d.severity == "error" and not d.message.startswith(_LD_FAILED) for d in merged):
        merged = [d for d in merged if not d.message.startswith(_LD_FAILED)]
    prefix = folder.rstrip("/") + "/" if folder else ""
    return [replace(d, file=d.file.removeprefix(prefix), hint=hint_for(d.message, d.option)) for d in merged]


_LD_FAILED = ("ld returned 1 exit status", "linker command failed with exit code 1")
_OPENING = re.compile(r'(?P<sarif>\{"\$schema": *"[^"\n]{0,200}sarif)|\[\s*\{\s*"')
_RESULTS = re.compile(r'"results": *\[')


def _results(text: str, start: int) -> tuple[list[object], int]:
    """The results of the SARIF document at `start`, as many as are whole, and where reading stopped."""
    try:
        end = json.JSONDecoder().raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        end = len(text)  # cut short: nothing behind it
    results = _RESULTS.search(text, start, end)
    return (_objects(text, results.end() - 1)[0] if results else []), end


def _objects(text: str, start: int) -> tuple[list[object], int]:
    """The objects of the JSON array at `start`, as many as are whole, and where reading stopped."""
    decoder = json.JSONDecoder()
    objects: list[object] = []
    at = start + 1
    while len(objects) < MAX_DIAGNOSTICS * 4:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if text[at : at + 1] != "{":
            break
        try:
            item, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            # Cut short or broken: what remains of this line is JSON, not text for a reader.
            newline = text.find("\n", at)
            return objects, len(text) if newline < 0 else newline
        objects.append(item)
    return objects, at + (text[at : at + 1] == "]")


def _string(value: object, limit: int) -> str:
    return " ".join(plain_quotes(value[: 4 * limit]).split())[:limit] if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else 0


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _place(item: Mapping[str, object]) -> tuple[str, int, int]:
    for location in _sequence(item.get("locations"))[:1]:
        caret = _mapping(_mapping(location).get("caret"))
        column = _number(caret.get("byte-column", caret.get("column")))
        return _file(_string(caret.get("file"), 400)), _number(caret.get("line")), column
    return "", 0, 0


def _file(name: str) -> str:
    return name.removeprefix("./")


def _from_json(item: object) -> Iterator[Diagnostic]:
    """The message of one JSON object, and of those children that are more than notes (gcc groups some)."""
    fields = _mapping(item)
    message = _string(fields.get("message"), MAX_MESSAGE)
    if not message:
        return
    file, line, column = _place(fields)
    children = [_mapping(child) for child in _sequence(fields.get("children"))[:MAX_CHILDREN]]
    notes = [child for child in children if child.get("kind") == "note" and not _is_noise(child)]
    kind = fields.get("kind")
    yield Diagnostic(
        file=file,
        line=line,
        column=column,
        severity=_SEVERITY.get(kind, "error") if isinstance(kind, str) else "error",
        message=message,
        option=_option(_string(fields.get("option"), 80)),
        notes=tuple(filter(None, map(_note_from_json, notes[:MAX_NOTES]))),
    )
    for child in children:
        if child.get("kind") != "note":
            yield from _from_json({**child, "children": []})


def _from_sarif(item: object) -> Iterator[Diagnostic]:
    """The message of one result (SARIF 2.1.0, section 3.27); what it relates to becomes its notes."""
    fields = _mapping(item)
    message = _said(fields)
    if not message:
        return
    file, line, column = _place_in_sarif(fields)
    level, rule = fields.get("level"), _string(fields.get("ruleId"), 80)
    related = [_mapping(place) for place in _sequence(fields.get("relatedLocations"))[:MAX_CHILDREN]]
    notes = [(_said(place), *_place_in_sarif({"locations": [place]})[:2]) for place in related]
    yield Diagnostic(
        file=file,
        line=line,
        column=column,
        severity=_SEVERITY.get(level, "error") if isinstance(level, str) else "error",
        message=message,
        option=_option(rule) if rule.startswith("-W") else "",
        notes=tuple(_note(*note) for note in notes[:MAX_NOTES] if note[0] and not note[0].startswith(_NOISE)),
    )


def _said(fields: Mapping[str, object]) -> str:
    return _string(_mapping(fields.get("message")).get("text"), MAX_MESSAGE)


def _place_in_sarif(fields: Mapping[str, object]) -> tuple[str, int, int]:
    for location in _sequence(fields.get("locations"))[:1]:
        place = _mapping(_mapping(location).get("physicalLocation"))
        region, around = _mapping(place.get("region")), _mapping(place.get("contextRegion"))
        file = _file(_string(_mapping(place.get("artifactLocation")).get("uri"), 400).removeprefix("file://"))
        snippet = _mapping(around.get("snippet")).get("text")
        column = _number(region.get("startColumn"))
        if isinstance(snippet, str) and column:  # it counts characters; the excerpt counts bytes
            column = len(snippet[: column - 1].encode("utf-8", "replace")) + 1
        return file, _number(region.get("startLine")), column
    return "", 0, 0


_NOISE = "each undeclared identifier is reported only once"


def _is_noise(child: Mapping[str, object]) -> bool:
    return _string(child.get("message"), MAX_NOTE).startswith(_NOISE)


def _note_from_json(fields: Mapping[str, object]) -> str:
    return _note(_string(fields.get("message"), MAX_NOTE), *_place(fields)[:2])


def _note(message: str, file: str, line: int) -> str:
    return f"{message} ({file.rpartition('/')[2]}:{line})" if message and file and line else message


def _option(option: str) -> str:
    """'-Werror=unused-variable' is '-Wunused-variable' made an error; the switch is what helps."""
    return "-W" + option.removeprefix("-Werror=") if option.startswith("-Werror=") else option


_LINKER = re.compile(
    r"(?:\S*/)?(?:ld(?:\.\w+)?|collect2|(?:[a-z0-9_]{1,20}-){0,3}(?:gcc|clang)(?:-\d+)?|cc|cc1|as|lto1): (?P<rest>.*)"
)
_KIND = r"(?P<kind>(?:fatal )?error|warning|note|sorry, unimplemented|internal compiler error)"
_SEVERE = re.compile(_KIND + ": (?P<rest>.*)")
_PLACED = re.compile(  # gemm.c:3:17: error: message
    r"(?P<file>[^:\s][^:\n]{0,400}):(?P<line>\d{1,9}):(?:(?P<column>\d{1,9}):)? "
    + _KIND
    + r": (?P<message>.*)",
    re.IGNORECASE,  # the assembler writes Error
)
_LINKED = re.compile(  # [x.o:][gemm.c:3: or gemm.c:(.text+0x5): or (.text+0x5): ]message
    r"""(?:[^:\n]{1,400}\.(?:o|a)(?:\([^)\n]{1,200}\))?:)?\s*
        (?:(?P<file>[^:()\n]{1,400}):(?:(?P<line>\d{1,9})|\([^)\n]{1,200}\)):|\([^)\n]{1,200}\):)?\s*
        (?P<message>(?:undefined\ reference\ to|undefined\ symbol|multiple\ definition\ of|cannot\ find
                      |(?:warning:\ )?relocation\ ).*)""",
    re.VERBOSE,
)
_FIRST_DEFINED = re.compile(
    r"; (?:[^:\n]{1,400}:)?(?P<file>[^:\n;]{1,400}):(?P<line>\d{1,9}|\([^)\n]*\)): first defined here$"
)
_SUFFIX_OPTION = re.compile(r" \[(-W[\w+=-]+)\]$")


def _from_text(text: str) -> list[Diagnostic]:
    found = (_from_line(line) for line in text.splitlines() if 0 < len(line) < 10_000)
    return list(islice((d for d in found if d), MAX_DIAGNOSTICS * 4))


def _from_line(line: str) -> Diagnostic | None:
    line = plain_quotes(line.rstrip())
    if match := _PLACED.match(line):
        return _compiler_line(match)
    tool = _LINKER.match(line)
    rest = tool["rest"] if tool else line
    if match := _LINKED.match(rest):
        return _linker_line(match)
    if tool and (match := _SEVERE.match(rest)):
        if match["rest"].startswith("all warnings being treated as errors"):
            return None
        severity = _SEVERITY.get(match["kind"].lower(), "error")
        return Diagnostic("", 0, 0, severity, match["rest"][:MAX_MESSAGE])
    return None


def _compiler_line(match: re.Match[str]) -> Diagnostic:
    message = match["message"]
    option = _SUFFIX_OPTION.search(message)
    if option:
        message = message[: option.start()]
    return Diagnostic(
        file=_file(match["file"]),
        line=_number(int(match["line"])),
        column=_number(int(match["column"] or 0)),
        severity=_SEVERITY.get(match["kind"].lower(), "error"),
        message=message[:MAX_MESSAGE],
        option=_option(option[1]) if option else "",
    )


def _linker_line(match: re.Match[str]) -> Diagnostic:
    message = match["message"]
    notes: tuple[str, ...] = ()
    if first := _FIRST_DEFINED.search(message):
        message = message[: first.start()]
        line = int(first["line"]) if first["line"].isdigit() else 0
        notes = (_note("first defined here", _file(first["file"]), line),)
    severity = "warning" if message.startswith("warning: ") else "error"
    return Diagnostic(
        file=_file(match["file"] or ""),
        line=_number(int(match["line"] or 0)),
        column=0,
        severity=severity,
        message=message.removeprefix("warning: ")[:MAX_MESSAGE],
        notes=notes,
    )


def _is_system(file: str) -> bool:
    return file.startswith(("/usr/", "/opt/"))


def _join_notes(diagnostics: Iterable[Diagnostic]) -> Iterable[Diagnostic]:
    """Each note joins the message before it.

    An error inside a system header (an intrinsic that cannot be inlined) moves to the student's line that its
    note "called from here" names: that is where something can be changed.
    """
    current: Diagnostic | None = None
    for item in diagnostics:
        if item.severity != "note" or current is None:
            if current is not None:
                yield current
            current = item
        elif item.message == "called from here" and _is_system(current.file) and not _is_system(item.file):
            current = replace(current, file=item.file, line=item.line, column=item.column)
        elif len(current.notes) < MAX_NOTES:
            note = _note(item.message[:MAX_NOTE], item.file, item.line)
            current = replace(current, notes=(*current.notes, note))
    if current is not None:
        yield current


# --- showing ---------------------------------------------------------------------------------------------
def render(diagnostic: Diagnostic, source: str | None) -> str:
    """The message, the student's line with a caret under the place, notes and hint, as plain text.

    `source` is the text of the diagnostic's file, or None when it is not at hand: then no line is shown. Tabs
    are shown as blanks up to the next multiple of four, wide characters count two columns, long lines are cut
    around the place. Control characters of the source appear as '?'.
    """
    d = diagnostic
    place = ":".join([d.file, *(str(n) for n in (d.line, d.column if d.line else 0) if n)]) if d.file else ""
    option = f" [{d.option}]" if d.option else ""
    parts = [f"{place}: {d.severity}: {d.message}{option}" if place else f"{d.severity}: {d.message}{option}"]
    if source is not None and (shown := _source_line(source, d.line)) is not None:
        parts += _excerpt(shown, d.line, d.column)
    parts += [f"note: {note}" for note in d.notes]
    if d.hint:
        parts.append(f"hint: {d.hint}")
    return "\n".join(parts)


def _source_line(source: str, number: int) -> str | None:
    # Not splitlines(): a form feed or U+2028 is no new line for the compiler.
    lines = source.split("\n", number) if 0 < number <= 1_000_000 else []
    return lines[number - 1].rstrip("\r") if len(lines) >= number > 0 else None


def _excerpt(line: str, number: int, column: int) -> list[str]:
    before = line.encode("utf-8", "replace")[: max(column - 1, 0)].decode("utf-8", "ignore")
    cells, caret = _cells(line), len(_cells(before))
    start = max(0, min(caret - 2 * WIDTH // 3, len(cells) - WIDTH)) if len(cells) > WIDTH else 0
    shown = "".join(cells[start : start + WIDTH]).rstrip()
    left = "..." if start else ""
    right = "..." if start + WIDTH < len(cells) else ""
    gutter = f"{number:>5} | "
    result = [f"{gutter}{left}{shown}{right}"]
    if column:
        result.append(" " * (len(gutter) - 2) + "| " + " " * (len(left) + caret - start) + "^")
    return result


def _cells(text: str) -> list[str]:
    """One item per column of the screen: a wide character is itself and an empty item."""
    cells: list[str] = []
    for character in text[:100_000]:
        if character == "\t":
            cells += " " * (TAB - len(cells) % TAB)
        elif unicodedata.combining(character) and cells:
            cells[-1] += character
        else:
            cells.append(character if character.isprintable() else "?")
            if unicodedata.east_asian_width(character) in "WF":
                cells.append("")
    return cells


def summarise(diagnostics: Sequence[Diagnostic]) -> str:
    """One line: how many errors and warnings, where, and the first error (or warning if there is none).

    '' for an empty sequence.
    """
    errors = [d for d in diagnostics if d.severity == "error"]
    warnings = [d for d in diagnostics if d.severity == "warning"]
    first = next(iter(errors or warnings or diagnostics), None)
    if first is None:
        return ""
    counts = [_count(len(errors), "error"), _count(len(warnings), "warning")]
    if not (errors or warnings):
        counts = [_count(len(diagnostics), "note")]
    total = " and ".join(filter(None, counts))
    files = list(dict.fromkeys(d.file for d in [*errors, *warnings] or diagnostics if d.file))
    where = f" in {files[0]}" if len(files) == 1 else f" in {len(files)} files" if files else ""
    line = f" (line {first.line})" if first.line else ""
    opening = "; the first" if len(diagnostics) > 1 else ""
    return f"{total}{where}{opening}: {first.message}{line}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}" if number else ""
