"""What must fit together in a contract, and what validation of single fields cannot see.

These look at the unvalidated tree, so that they speak up beside the other problems and not only after them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from grader.contract.document import is_file
from grader.contract.model import MAX_ENTRIES, PLAIN_NAME, TIERS, default_credit
from grader.contract.problems import FieldPath, key, nearest, relative, shown


def contradictions(tree: dict[str, object], folder: Path, root: Path) -> Iterator[tuple[FieldPath, str]]:
    """(field, what is wrong with it) for everything that does not fit together, or to the files there are."""
    lab_id = tree.get("id")
    if isinstance(lab_id, str) and lab_id != folder.name:
        yield ("id",), f"is {shown(lab_id)}, but the folder's name is {shown(folder.name)}; make them equal"
    yield from _source_contradictions(tree)
    yield from _point_contradictions(tree)
    yield from _duel_contradictions(tree)
    yield from _program_contradictions(tree)
    yield from _missing_files(tree, folder, root)


def _inside(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/")


def _source_contradictions(tree: dict[str, object]) -> Iterator[tuple[FieldPath, str]]:
    items = tree.get("sources")
    items = items[:MAX_ENTRIES] if isinstance(items, tuple) else ()
    paths = {index: _mapping(item).get("path") for index, item in enumerate(items)}
    header = _mapping(tree.get("interface")).get("header")
    build = _mapping(tree.get("build"))
    main = _mapping(build.get("program")).get("main")
    linked = [name for kind in ("glue", "faults") for name in _texts(build.get(kind))]
    staff = {name.lower() for name in (*linked, main) if isinstance(name, str)}
    seen: dict[str, str] = {}
    for index, path in paths.items():
        if not isinstance(path, str):
            continue
        lower, at = path.lower(), ("sources", index, "path")
        clash = next((old for old in seen if _inside(lower, old) or _inside(old, lower)), "")
        if clash:
            yield at, f"{shown(path)} and {shown(seen[clash])} are one file on some systems; rename one"
        elif isinstance(header, str) and PurePosixPath(lower).name == header.lower():
            yield at, f"{shown(path)} is the lab's own header, never taken from a submission; leave it out"
        elif PurePosixPath(lower).name in staff:
            yield at, f"{shown(path)} has the name of a glue file; rename one"
        seen[lower] = path
    names = [path for path in paths.values() if isinstance(path, str)]
    if names and not any(path.endswith((".c", ".cu")) for path in names):
        yield ("sources",), "holds no .c or .cu file, so there is nothing to build; add one"


def _point_contradictions(tree: dict[str, object]) -> Iterator[tuple[FieldPath, str]]:
    points = _mapping(tree.get("points"))
    if points and "correctness" not in points:
        yield ("points",), "has no category correctness, which opens the performance points; add it"
    if points and _mapping(tree.get("duels")) and "performance" not in points:
        yield ("points",), "has no category performance, but there are duels; add it"
    values = [value for value in points.values() if isinstance(value, int | float)]
    floor = tree.get("starter_floor")
    if isinstance(floor, int | float) and len(values) == len(points) and floor > sum(values):
        yield ("starter_floor",), f"is {floor:g}, more than all the points there are ({sum(values):g})"


def _duel_contradictions(tree: dict[str, object]) -> Iterator[tuple[FieldPath, str]]:
    duels = {name: _mapping(duel) for name, duel in _mapping(tree.get("duels")).items()}
    credit = _mapping(tree.get("credit")) or default_credit()
    for name, duel in duels.items():
        for tier in _mapping(duel.get("tiers")):
            if tier in TIERS and tier not in credit:
                yield ("duels", name, "tiers", tier), f"credit says nothing about {tier}; add it there"
        if duel.get("against", "reference") != "self" and tree.get("reference") is None:
            yield (
                ("duels", name),
                "needs the lab's reference, but there is none; add it, or write against: self",
            )
        if duel.get("against") == "roofline" and duel.get("bound") is None:
            yield ("duels", name), "is against the roofline; say which one: bound: memory, or bound: compute"
    for rung, record in _mapping(tree.get("rungs")).items():
        for duel_name, landings in _mapping(_mapping(record).get("tiers")).items():
            at = ("rungs", rung, "tiers", duel_name)
            if duel_name not in duels:
                known = list(duels)[:MAX_ENTRIES]
                near = nearest(duel_name, known) or f"; the duels are: {', '.join(map(key, known)) or 'none'}"
                yield at, f"there is no such duel{near}"
                continue
            for landing in [landings] if isinstance(landings, str) else _texts(landings):
                if landing in TIERS and landing not in _mapping(duels[duel_name].get("tiers")):
                    yield at, f"the duel has no tier {landing}; name one of its tiers, or none"


def _program_contradictions(tree: dict[str, object]) -> Iterator[tuple[FieldPath, str]]:
    has_program = _mapping(tree.get("build")).get("program") is not None
    sandbox = _mapping(tree.get("sandbox"))
    if sandbox and not has_program:
        yield ("sandbox",), "says what the executable may start, but build.program names none; add it"
    reference = _mapping(tree.get("reference"))
    if not reference:
        return
    source, model = reference.get("source"), reference.get("program")
    if (source is None) == (model is None):
        yield ("reference",), "needs either a source or a program; write one of the two"
    elif isinstance(model, str) and model not in _mapping(sandbox.get("models")):
        yield ("reference", "program"), f"{shown(model)} is none of the models; add it under sandbox.models"
    elif model is not None and not has_program:
        yield ("reference", "program"), "times executables, but build.program names none; add it"


def _missing_files(tree: dict[str, object], folder: Path, root: Path) -> Iterator[tuple[FieldPath, str]]:
    header = _mapping(tree.get("interface")).get("header")
    source = _mapping(tree.get("reference")).get("source")
    lists = [("build", "glue"), ("build", "faults"), ("sandbox", "helpers")]
    staff = [
        ((section, kind, index), folder, name)
        for section, kind in lists
        for names in [_mapping(tree.get(section)).get(kind)]
        for index, name in enumerate(names if isinstance(names, tuple) else ())
    ]
    main = _mapping(_mapping(tree.get("build")).get("program")).get("main")
    wanted: list[tuple[FieldPath, Path, object]] = [
        (("interface", "header"), root / "starter" / folder.name, header),
        (("reference", "source"), folder, source),
        (("build", "program", "main"), folder, main),
        *staff,
    ]
    for at, parent, name in wanted:
        if isinstance(name, str) and re.fullmatch(PLAIN_NAME, name) and not is_file(parent / name):
            yield at, f"{relative(parent / name, root)} does not exist; write it, or correct the name"


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, tuple) else []
