"""Reading `lab.yaml` strictly: plain values with the line of every field, and none of YAML's surprises.

No aliases, tags, tabs, second documents or duplicate keys; words as in YAML 1.2: `no` and `1:30` are text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from grader.contract.problems import ContractError, FieldPath, Problem, dotted

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_NUMBER_LENGTH = 40  # characters


def read(path: Path, file: str) -> Document:
    """The document at `path`, called `file` in messages.

    Raises ContractError where it cannot be read or is not YAML at all; smaller problems are kept in it.
    """
    document = Document(file)
    document.tree = document.parsed(_text(path, file))
    return document


def is_file(path: Path) -> bool:
    """Is there such a file? Names that no file can have (too long, a NUL in it) are no files."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


@dataclass
class Document:
    """One file: its values as dicts, tuples and scalars, the line of every field, and the problems so far."""

    file: str
    tree: dict[str, object] = field(default_factory=dict)
    lines: dict[FieldPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def parsed(self, text: str) -> dict[str, object]:
        """The values in `text`; notes lines and problems. Raises ContractError where it is no YAML at all."""
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._stop(line, "holds a control character; remove it") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise self._stop(line, _yaml_message(error)) from error
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise self._stop(0, f"is not valid YAML: {error}") from error
        if node is None:
            raise self._stop(0, "is empty; copy the example in docs/lab-contract.md")
        if not isinstance(node, yaml.MappingNode):
            raise self._stop(node.start_mark.line + 1, "must be a mapping of fields, as in `id: gemm_cpu`")
        return self._mapping(node, ())

    def line(self, where: FieldPath) -> int:
        """The line of a field, or of the nearest enclosing one that the file has."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def problem(self, where: FieldPath, message: str) -> Problem:
        """A problem at its line. Pydantic marks a bad key, not its value, by "[key]" behind it."""
        if where and where[-1] == "[key]" and where not in self.lines:
            where = where[:-1]
        return Problem(self.line(where), dotted(where), message)

    def _stop(self, line: int, message: str) -> ContractError:
        return ContractError(self.file, [Problem(line, "", message)])

    def _plain(self, node: yaml.Node, where: FieldPath) -> object:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                at = (*where, index)
                self.lines[at] = item.start_mark.line + 1
                items.append(self._plain(item, at))
            return tuple(items)
        return self._word(node, where)

    def _word(self, node: yaml.Node, where: FieldPath) -> object:
        text: str = node.value
        if _has_surrogate(text):
            self._note(node, where, "holds half a character (a lone surrogate); remove it")
            return ""
        quoted = not isinstance(node, yaml.ScalarNode) or node.style is not None
        value = text if quoted else _scalar(text)
        if value is _TOO_LONG:
            self._note(node, where, "has too many digits; round it")
            return 1
        return value

    def _note(self, node: yaml.Node, where: FieldPath, message: str) -> None:
        self.problems.append(Problem(node.start_mark.line + 1, dotted(where), message))

    def _mapping(self, node: yaml.MappingNode, where: FieldPath) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or _has_surrogate(key_node.value):
                self._note(key_node, where, "has a key that is not a plain word; write key: value")
                continue
            key = key_node.value
            at = (*where, key)
            if key in result:
                self._note(key_node, at, f"is given twice (first on line {self.lines[at]}); keep one")
                continue
            self.lines[at] = key_node.start_mark.line + 1
            result[key] = self._plain(value_node, at)
        return result


_TOO_LONG = object()


def _scalar(text: str) -> object:
    """An unquoted word by the core rules of YAML 1.2: `no` and `1:30` are words, `010` and `0x1F` too."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        return float(text.replace(".", ""))
    whole = re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", text)
    if not whole and not re.fullmatch(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
        return text
    if re.fullmatch(r"[-+]?0[0-9]+", text):
        return text
    if len(text) > MAX_NUMBER_LENGTH:
        return _TOO_LONG
    return int(text) if whole else float(text)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _yaml_message(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or "cannot be understood")
    if isinstance(error, _Refusal):
        return problem
    if "single document" in str(error.context):
        return "holds a second document (---); keep one"
    context = f"{error.context}, " if error.context else ""
    return f"is not valid YAML: {context}{problem}; check indentation, colons and quotes near here"


class _Refusal(yaml.MarkedYAMLError):
    """Proper YAML that has no place in a contract."""


class _Loader(yaml.SafeLoader):
    """The safe loader, less what makes YAML dangerous and a contract does not need: aliases, tags, depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        refusal = ""
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            refusal = "anchors and aliases (& and *) have no place in a contract; write it out, or quote it"
        elif event.tag is not None:
            refusal = "tags (!) have no place in a contract; leave it out, or quote the value"
        elif self.depth >= MAX_DEPTH:
            refusal = f"is nested more than {MAX_DEPTH} levels deep; a contract never is"
        if refusal:
            raise _Refusal(problem=refusal, problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _text(path: Path, file: str) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ContractError(file, [Problem(0, "", f"cannot be read: {error.strerror or error}")]) from error
    if len(data) > MAX_BYTES:
        text = f"is larger than {MAX_BYTES // 1024} KiB; a contract is short"
        raise ContractError(file, [Problem(0, "", text)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ContractError(file, [Problem(line, "", "is not UTF-8 text; save the file as UTF-8")]) from error
    tabs = [number for number, line in enumerate(text.split("\n"), 1) if "\t" in line]
    if tabs:
        more = f" (and {len(tabs) - 1} more lines)" if len(tabs) > 1 else ""
        raise ContractError(file, [Problem(tabs[0], "", f"holds a tab{more}; YAML wants spaces")])
    return text
