"""Facts about the lab contract: what is accepted, what is refused, and how the refusal reads."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.lab import TIERS, Contract, ContractError, Lab, list_labs, load_lab
from grader.scoring import DEFAULT_CREDIT

COURSE = Path(__file__).resolve().parent.parent
DOCUMENT = COURSE / "docs" / "lab-contract.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"

VALID = """\
schema: 1
id: gemm_cpu
title: Matrix multiplication
summary: Multiply matrices.
sources:
  - {path: gemm.c, max_bytes: 1000}
interface: {header: gemm.h}
build:
  flags: [-O3, -mavx2]
  libraries: [m]
reference:
  source: reference.c
  environment: {OPENBLAS_NUM_THREADS: "1"}
points: {correctness: 60, performance: 40}
duels:
  large:
    title: n = 3072
    tiers: {pass: 0.15, bronze: 0.25, gold: 0.80}
rungs:
  naive: {folder: rungs/naive, tiers: {large: none}}
  best: {folder: ., tiers: {large: gold}}
"""


def course(folder: Path, text: str | bytes = VALID, lab_id: str = "gemm_cpu") -> Path:
    """A course with one lab whose contract is `text`; returns its root."""
    home = folder / "labs" / lab_id
    home.mkdir(parents=True, exist_ok=True)
    (folder / "starter" / lab_id).mkdir(parents=True, exist_ok=True)
    (folder / "starter" / lab_id / "gemm.h").write_text("int gemm(void);\n")
    (home / "reference.c").write_text("int gemm(void) { return 0; }\n")
    (home / "lab.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def refusal(root: Path, lab_id: str = "gemm_cpu") -> str:
    with pytest.raises(ContractError) as caught:
        load_lab(lab_id, root)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    """The valid contract with one piece of text replaced."""
    assert VALID.count(old) == 1, old
    return VALID.replace(old, new)


# --- What a good contract gives -------------------------------------------------------------------


def test_a_valid_contract_gives_values_and_defaults(tmp_path: Path) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    assert lab.sources[0].path == "gemm.c"
    assert lab.sources[0].language == "c"
    assert lab.build.flags == ("-O3", "-mavx2")
    assert lab.limits.call_s == 10
    assert lab.gate.correctness == 0.95
    assert lab.duels["large"].clock == "cpu"
    assert lab.duels["large"].against == "reference"
    assert list(lab.credit) == list(TIERS)
    assert lab.credit == DEFAULT_CREDIT
    assert lab.max_points == 100
    assert lab.hardware.gpu is False


def test_paths_lie_where_the_course_says(tmp_path: Path) -> None:
    root = course(tmp_path).resolve()
    lab = load_lab("gemm_cpu", root)
    assert lab.folder == root / "labs/gemm_cpu"
    assert lab.starter == root / "starter/gemm_cpu"
    assert lab.solution == root / "solutions_hidden/gemm_cpu"
    assert lab.header_path == root / "starter/gemm_cpu/gemm.h"
    assert lab.reference_path == root / "labs/gemm_cpu/reference.c"
    assert lab.glue_paths == ()


@pytest.mark.parametrize("spelling", ["labs/gemm_cpu", "labs/gemm_cpu/", "labs/gemm_cpu/lab.yaml"])
def test_a_lab_is_found_by_its_path_too(tmp_path: Path, spelling: str) -> None:
    root = course(tmp_path)
    assert (
        load_lab(root / spelling, root) == load_lab(f"{root}/{spelling}", root) == load_lab("gemm_cpu", root)
    )


def test_a_lab_is_frozen_and_survives_a_worker_process(tmp_path: Path) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        lab.title = "other"
    assert pickle.loads(pickle.dumps(lab)) == lab


def test_tiers_are_given_in_their_order_however_they_are_written(tmp_path: Path) -> None:
    text = changed("{pass: 0.15, bronze: 0.25, gold: 0.80}", "{gold: 0.80, pass: 0.15, bronze: 0.25}")
    assert list(load_lab("gemm_cpu", course(tmp_path, text)).duels["large"].tiers) == [
        "pass",
        "bronze",
        "gold",
    ]


def test_a_duel_with_oneself_needs_no_reference(tmp_path: Path) -> None:
    text = changed("    title: n = 3072\n", "    title: n = 3072\n    against: self\n")
    text = re.sub(r"reference:\n(  .*\n)+", "", text)
    lab = load_lab("gemm_cpu", course(tmp_path, text))
    assert lab.reference is None
    assert lab.reference_path is None


@pytest.mark.parametrize("mark", ["\ufeff", "# a comment\n", "---\n"])
def test_harmless_beginnings_are_accepted(tmp_path: Path, mark: str) -> None:
    assert load_lab("gemm_cpu", course(tmp_path, mark + VALID)).id == "gemm_cpu"


def test_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    assert load_lab("gemm_cpu", course(tmp_path, VALID.replace("\n", "\r\n"))).id == "gemm_cpu"


# --- Test files and digest ------------------------------------------------------------------------


def with_tests(root: Path, *names: str) -> Lab:
    for name in names:
        (root / "labs/gemm_cpu" / name).write_text("def test_nothing(): pass\n")
    return load_lab("gemm_cpu", root)


def test_practice_leaves_out_the_hidden_tests(tmp_path: Path) -> None:
    lab = with_tests(course(tmp_path), "test_public.py", "test_hidden.py", "test_performance.py")
    assert [path.name for path in lab.test_files(practice=True)] == ["test_public.py", "test_performance.py"]
    assert [path.name for path in lab.test_files(practice=False)] == [
        "test_public.py",
        "test_hidden.py",
        "test_performance.py",
    ]


def test_official_grading_without_the_hidden_tests_is_an_error(tmp_path: Path) -> None:
    lab = with_tests(course(tmp_path), "test_public.py", "test_performance.py")
    assert len(lab.test_files(practice=True)) == 2
    with pytest.raises(ContractError, match=r"labs/gemm_cpu/lab.yaml: test_hidden.py is missing"):
        lab.test_files(practice=False)


def test_duels_need_their_test_file(tmp_path: Path) -> None:
    lab = with_tests(course(tmp_path), "test_public.py")
    with pytest.raises(ContractError, match=r"test_performance\.py is missing"):
        lab.test_files(practice=True)


@pytest.mark.parametrize(
    "name", ["labs/gemm_cpu/oracle.py", "labs/gemm_cpu/data/x.bin", "starter/gemm_cpu/gemm.h"]
)
def test_the_digest_depends_on_what_judges(tmp_path: Path, name: str) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    before = lab.digest
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("changed")
    assert lab.digest != before
    assert re.fullmatch("[0-9a-f]{64}", before)


@pytest.mark.parametrize(
    "name", ["mutants/m01/mutant.yaml", "cheats/c/x.c", "__pycache__/a.pyc", ".cache/x", ".x"]
)
def test_the_digest_ignores_the_rest(tmp_path: Path, name: str) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    before = lab.digest
    path = lab.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
    assert lab.digest == before


def test_the_digest_does_not_depend_on_where_the_course_lies(tmp_path: Path) -> None:
    labs = [load_lab("gemm_cpu", course(tmp_path / name)) for name in ("here", "there")]
    assert labs[0].digest == labs[1].digest


def test_content_does_not_slip_from_one_file_into_the_next(tmp_path: Path) -> None:
    labs = [load_lab("gemm_cpu", course(tmp_path / name)) for name in ("here", "there")]
    for lab, (a, b) in zip(labs, [("xy", "z"), ("x", "yz")], strict=True):
        (lab.folder / "a").write_text(a)
        (lab.folder / "b").write_text(b)
    assert labs[0].digest != labs[1].digest


def test_a_digest_without_the_header_is_an_error(tmp_path: Path) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    lab.header_path.unlink()
    with pytest.raises(ContractError, match="cannot read a file of the lab"):
        assert lab.digest


# --- Which labs there are -------------------------------------------------------------------------


def test_labs_are_listed_by_name(tmp_path: Path) -> None:
    course(tmp_path, lab_id="thread_pool")
    course(tmp_path, lab_id="gemm_cpu")
    (tmp_path / "labs" / "Not-A-Lab").mkdir()
    (tmp_path / "labs" / "empty").mkdir()
    assert list_labs(tmp_path) == ["gemm_cpu", "thread_pool"]
    assert list_labs(tmp_path / "nowhere") == []


def test_a_missing_lab_names_those_that_exist(tmp_path: Path) -> None:
    course(tmp_path, lab_id="thread_pool")
    course(tmp_path)
    text = refusal(tmp_path, "gem_cpu")
    assert text == "gem_cpu: no such lab; did you mean gemm_cpu? The labs here are: gemm_cpu, thread_pool"


@pytest.mark.parametrize(
    "lab_id", ["", "..", "/", "a\0b", "x" * 5000, "\x1b[2J", "\ud800", "../../etc/passwd"]
)
def test_a_strange_lab_name_is_a_clear_error(tmp_path: Path, lab_id: str) -> None:
    text = refusal(course(tmp_path), lab_id)
    assert "no such lab" in text
    assert text.isprintable()


def test_a_course_without_labs_says_so(tmp_path: Path) -> None:
    assert "holds no labs" in refusal(tmp_path)


# --- How a refusal reads --------------------------------------------------------------------------

# The change to the valid contract, and the line of the error that it must cause.
MISTAKES = {
    "tiers fall": (
        ("{pass: 0.15, bronze: 0.25, gold: 0.80}", "{pass: 0.50, bronze: 0.45}"),
        "18: duels.large.tiers: tiers must rise: bronze 0.45 is below pass 0.50",
    ),
    "tiers stay": (
        ("bronze: 0.25", "bronze: 0.15"),
        "18: duels.large.tiers: tiers must rise: bronze 0.15 is the same as pass 0.15",
    ),
    "unknown tier": (
        ("bronze: 0.25", "bronce: 0.25"),
        "18: duels.large.tiers.bronce: must be 'pass', 'bronze', 'silver', 'gold' or 'bonus', not \"bronce\"",
    ),
    "no tiers": (
        ("{pass: 0.15, bronze: 0.25, gold: 0.80}", "{}"),
        "18: duels.large.tiers: is empty; name at least one of pass, bronze, silver, gold, bonus",
    ),
    "unknown key": (("  flags:", "  flag:"), "9: build.flag: unknown key; did you mean flags?"),
    "far from any key": (
        ("interface: {header: gemm.h}", "interface: {header: gemm.h, zzz: 1}"),
        "7: interface.zzz: unknown key; the keys here are: header",
    ),
    "missing field": (("title: Matrix multiplication\n", ""), "1: title: is missing: What people read"),
    "missing inner field": (
        ("{path: gemm.c, max_bytes: 1000}", "{max_bytes: 1000}"),
        "6: sources[0].path: is missing: Plain ASCII file name",
    ),
    "given twice": (
        ("title: Matrix multiplication\n", "title: a\ntitle: b\n"),
        "4: title: is given twice (first on line 3); keep one",
    ),
    "inner key twice": (
        ("  flags: [-O3, -mavx2]\n", "  flags: [-O3]\n  flags: [-O2]\n"),
        "10: build.flags: is given twice (first on line 9); keep one",
    ),
    "wrong schema": (("schema: 1", "schema: 2"), "1: schema: this grader reads schema 1, not 2"),
    "schema true": (("schema: 1", "schema: true"), "1: schema: must be a whole number, not true"),
    "id of another lab": (
        ("id: gemm_cpu", "id: gemm_gpu"),
        '2: id: is "gemm_gpu", but the folder\'s name is "gemm_cpu"; make them equal',
    ),
    "capital id": (("id: gemm_cpu", "id: GEMM"), '2: id: "GEMM" must be 1 to 40 small letters'),
    "path upwards": (
        ("path: gemm.c", "path: ../gemm.c"),
        '6: sources[0].path: "../gemm.c" is not a plain path',
    ),
    "absolute path": (("path: gemm.c", "path: /gemm.c"), '6: sources[0].path: "/gemm.c" is not a plain path'),
    "path with a dot folder": (("path: gemm.c", "path: ./gemm.c"), '6: sources[0].path: "./gemm.c" is not'),
    "path not ASCII": (
        ("path: gemm.c", "path: gémm.c"),
        r'6: sources[0].path: "g\u00e9mm.c" is not a plain path',
    ),
    "path without language": (
        ("path: gemm.c", "path: gemm.py"),
        '"gemm.py" has no known language: end the name',
    ),
    "header as source": (
        ("{path: gemm.c, max_bytes: 1000}", "{path: gemm.c}\n  - {path: gemm.h}"),
        '7: sources[1].path: "gemm.h" is the lab\'s own header, never taken from a submission; leave it out',
    ),
    "source twice": (
        ("{path: gemm.c, max_bytes: 1000}", "{path: gemm.c}\n  - {path: Gemm.c}"),
        '7: sources[1].path: "Gemm.c" and "gemm.c" are one file on some systems; rename one',
    ),
    "nothing to build": (("path: gemm.c", "path: util.h"), "5: sources: holds no .c or .cu file"),
    "no sources": (
        ("sources:\n  - {path: gemm.c, max_bytes: 1000}", "sources: []"),
        "5: sources: is empty; write at least one entry",
    ),
    "sources as a mapping": (
        ("sources:\n  - {path: gemm.c, max_bytes: 1000}", "sources: {path: gemm.c}"),
        "5: sources: must be a list, as in [a, b], not a mapping",
    ),
    "size as text": (
        ("max_bytes: 1000", 'max_bytes: "1000"'),
        'max_bytes: must be a whole number, not "1000"',
    ),
    "size too small": (("max_bytes: 1000", "max_bytes: 0"), "max_bytes: must be at least 1, not 0"),
    "size too large": (
        ("max_bytes: 1000", "max_bytes: 1e9"),
        "max_bytes: must be a whole number, not 1000000000.0",
    ),
    "header no header": (
        ("header: gemm.h", "header: gemm.c"),
        '7: interface.header: "gemm.c" is not a header',
    ),
    "header missing": (
        ("header: gemm.h", "header: gem.h"),
        "7: interface.header: starter/gemm_cpu/gem.h does not exist; write it, or correct the name",
    ),
    "reference missing": (
        ("source: reference.c", "source: ref.c"),
        "12: reference.source: labs/gemm_cpu/ref.c does not exist",
    ),
    "glue missing": (
        ("libraries: [m]", "glue:\n    - extra.c"),
        "11: build.glue[0]: labs/gemm_cpu/extra.c does not exist",
    ),
    "flag is a library": (
        ("-mavx2", "-lm"),
        '9: build.flags[1]: "-lm" names a library; put it under build.libraries',
    ),
    "flag with a space": (("-mavx2", "-I /etc"), '9: build.flags[1]: "-I /etc" is not a compiler flag'),
    "library with -l": (("[m]", "[-lm]"), '10: build.libraries[0]: "-lm" is no library: write m, not -lm'),
    "number as text": (
        ('OPENBLAS_NUM_THREADS: "1"', "OPENBLAS_NUM_THREADS: 1"),
        '13: reference.environment.OPENBLAS_NUM_THREADS: must be text, not 1; put it in quotes: "1"',
    ),
    "true as text": (
        ("title: n = 3072", "title: true"),
        'title: must be text, not true; put it in quotes: "true"',
    ),
    "negative points": (
        ("performance: 40", "performance: -1"),
        "14: points.performance: must be above 0, not -1",
    ),
    "points not finite": (
        ("performance: 40", "performance: .inf"),
        "points.performance: must be a finite number",
    ),
    "points not a number": (
        ("performance: 40", "performance: .nan"),
        "points.performance: must be a finite number",
    ),
    "points too large a number": (("performance: 40", "performance: 1e999"), "must be a finite number"),
    "points are a bool": (
        ("performance: 40", "performance: true"),
        "points.performance: must be a number, not true",
    ),
    "points are nothing": (("{correctness: 60, performance: 40}", ""), "14: points: must be a mapping"),
    "no correctness": (("correctness: 60", "corectness: 60"), "14: points: has no category correctness"),
    "no performance": (
        (", performance: 40", ""),
        "14: points: has no category performance, but there are duels",
    ),
    "ratio is a bool": (
        ("pass: 0.15", "pass: true"),
        "18: duels.large.tiers.pass: must be a number, not true",
    ),
    "ratio is not a number": (
        ("pass: 0.15", "pass: .nan"),
        "duels.large.tiers.pass: must be a finite number",
    ),
    "ratio is zero": (("pass: 0.15", "pass: 0"), "duels.large.tiers.pass: must be above 0, not 0"),
    "unknown clock": (
        ("title: n = 3072", "title: x\n    clock: gpu"),
        "clock: must be 'cpu' or 'wall', not \"gpu\"",
    ),
    "duel name": (
        ("  large:\n", "  Large-1:\n"),
        '16: duels.Large-1: "Large-1" must be 1 to 40 small letters',
    ),
    "rung's duel": (
        ("tiers: {large: none}", "tiers: {larg: none}"),
        "20: rungs.naive.tiers.larg: there is no such duel; did you mean large?",
    ),
    "rung's tier": (
        ("{large: none}", "{large: god}"),
        "20: rungs.naive.tiers.large[0]: must be 'none', 'pass', 'bronze',",
    ),
    "rung's tier not in the duel": (
        ("{large: none}", "{large: silver}"),
        "20: rungs.naive.tiers.large: the duel has no tier silver; name one of its tiers, or none",
    ),
    "rung's folder": (
        ("rungs/naive", "../naive"),
        '20: rungs.naive.folder: "../naive" is not a folder below',
    ),
    "no reference": (
        ('reference:\n  source: reference.c\n  environment: {OPENBLAS_NUM_THREADS: "1"}\n', ""),
        "13: duels.large: needs the lab's reference, but there is none",
    ),
    "half a core": (
        ("duels:", "hardware: {cores: 1.5}\nduels:"),
        "hardware.cores: must be a whole number, not 1.5",
    ),
    "a core too many": (
        ("duels:", "hardware: {cores: 99999}\nduels:"),
        "hardware.cores: must be at most 4096",
    ),
    "gpu in words": (
        ("duels:", "hardware: {gpu: yes}\nduels:"),
        'hardware.gpu: must be true or false, not "yes"',
    ),
    "gate above one": (
        ("duels:", "gate: {correctness: 1.5}\nduels:"),
        "gate.correctness: must be at most 1, not 1.5",
    ),
    "gate of another category": (("duels:", "gate: {safety: 1}\nduels:"), "gate.safety: unknown key"),
    "limits too small": (
        ("duels:", "limits: {call_s: 0}\nduels:"),
        "limits.call_s: must be at least 0.1, not 0",
    ),
    "credit falls": (
        ("duels:", "credit: {pass: 1.0, bronze: 0.9, gold: 1.1}\nduels:"),
        "15: credit: credit must rise: bronze 0.90 is below pass 1.00",
    ),
    "credit lacks a tier": (
        ("duels:", "credit: {pass: 0.5, bronze: 1}\nduels:"),
        "19: duels.large.tiers.gold: credit says nothing about gold; add it there",
    ),
    "floor above all": (
        ("duels:", "starter_floor: 101\nduels:"),
        "starter_floor: is 101, more than all the points",
    ),
    "long title": (
        ("title: n = 3072", "title: " + "n" * 81),
        "17: duels.large.title: must have at most 80 characters",
    ),
    "empty title": (("title: n = 3072", 'title: " "'), "duels.large.title: is empty; write a few words"),
    "invisible title": (("title: n = 3072", r'title: "a\u202eb"'), "holds an invisible or control character"),
    "half a character": (("title: n = 3072", r'title: "\ud800"'), "holds half a character"),
    "half a character in a key": (
        ("    title: n = 3072", r'    "\ud800": x'),
        "has a key that is not a plain word",
    ),
    "escapes in a key": (
        ("    title: n = 3072", r'    "\e[2J": x'),
        r'17: duels.large."\u001b[2J": unknown key',
    ),
    "list as a key": (
        ("    title: n = 3072", "    [a]: x"),
        "17: duels.large: has a key that is not a plain word",
    ),
    "far too many digits": (
        ("max_bytes: 1000", "max_bytes: " + "9" * 5000),
        "max_bytes: has too many digits",
    ),
    "octal": (("max_bytes: 1000", "max_bytes: 0100"), 'max_bytes: must be a whole number, not "0100"'),
    "sexagesimal": (("max_bytes: 1000", "max_bytes: 1:30"), 'max_bytes: must be a whole number, not "1:30"'),
    "date": (
        ("max_bytes: 1000", "max_bytes: 2026-01-01"),
        'max_bytes: must be a whole number, not "2026-01-01"',
    ),
    "anchor": (
        ("title: n = 3072", "title: &a n"),
        "17: anchors and aliases (& and *) have no place in a contract",
    ),
    "alias": (
        ("title: n = 3072", "title: *a"),
        "17: anchors and aliases (& and *) have no place in a contract",
    ),
    "merge key": (("    title: n = 3072", "    <<: {title: x}"), '17: duels.large."<<": unknown key'),
    "tag": (
        ("title: n = 3072", "title: !!python/object:os.system x"),
        "17: tags (!) have no place in a contract",
    ),
    "not YAML": (("{path: gemm.c, max_bytes: 1000}", "{path: gemm.c"), "is not valid YAML"),
    "a tab": (("  flags:", "\tflags:"), "9: holds a tab; YAML wants spaces"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_line_field_and_advice(tmp_path: Path, mistake: str) -> None:
    (old, new), expected = MISTAKES[mistake]
    lines = refusal(course(tmp_path, changed(old, new))).split("\n")
    assert any(expected in line for line in lines), lines
    assert all(re.match(r"labs/gemm_cpu/lab\.yaml:\d+: ", line) for line in lines)


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = changed("id: gemm_cpu", "id: other").replace("max_bytes: 1000", "max_bytes: no")
    text = text.replace("{large: gold}", "{small: gold}").replace("title: n", "titel: n")
    lines = [
        line.removeprefix("labs/gemm_cpu/lab.yaml:") for line in refusal(course(tmp_path, text)).split("\n")
    ]
    assert lines == [
        '2: id: is "other", but the folder\'s name is "gemm_cpu"; make them equal',
        '6: sources[0].max_bytes: must be a whole number, not "no"',
        "16: duels.large.title: is missing: What people read above the bar, e.g. `n = 3072`",
        "17: duels.large.titel: unknown key; did you mean title?",
        "21: rungs.best.tiers.small: there is no such duel; the duels are: large",
    ]


WHOLE_FILES = {
    "empty": (b"", "labs/gemm_cpu/lab.yaml: is empty; copy the example in docs/lab-contract.md"),
    "only a comment": (b"# nothing\n", "is empty"),
    "a list": (b"- a\n- b\n", "lab.yaml:1: must be a mapping of fields"),
    "a word": (b"hello", "lab.yaml:1: must be a mapping of fields"),
    "not UTF-8": (b"schema: 1\nid: \xff\n", "lab.yaml:2: is not UTF-8 text; save the file as UTF-8"),
    "UTF-16": ("schema: 1\n".encode("utf-16"), "is not UTF-8 text"),
    "a NUL": (b"schema: 1\nid: a\0b\n", "lab.yaml:2: holds a control character; remove it"),
    "an escape": (b"schema: 1\nid: a\x1bb\n", "lab.yaml:2: holds a control character; remove it"),
    "two documents": (VALID.encode() + b"---\nschema: 1\n", "holds a second document (---); keep one"),
    "too large": (b"#" * (256 * 1024 + 1), "is larger than 256 KiB; a contract is short"),
    "too deep": (b"a: " + b"[" * 5000, "lab.yaml:1: is nested more than 12 levels deep; a contract never is"),
    "deep blocks": (b"- " * 5000, "is nested more than 12 levels deep"),
    "a bomb": (b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "lab.yaml:1: anchors and aliases"),
    "an impossible character": (rb'"\UFFFFFFFF": 1', "is not valid YAML"),
}


@pytest.mark.parametrize("kind", WHOLE_FILES)
def test_a_file_that_is_no_contract_is_a_clear_error(tmp_path: Path, kind: str) -> None:
    data, expected = WHOLE_FILES[kind]
    assert expected in refusal(course(tmp_path, data))


def test_a_contract_that_is_a_folder_is_no_lab(tmp_path: Path) -> None:
    root = course(tmp_path)
    (root / "labs/gemm_cpu/lab.yaml").unlink()
    (root / "labs/gemm_cpu/lab.yaml").mkdir()
    assert "no such lab" in refusal(root)


def test_many_problems_are_cut(tmp_path: Path) -> None:
    text = VALID + "".join(f"extra{index}: 1\n" for index in range(500))
    lines = refusal(course(tmp_path, text)).split("\n")
    assert len(lines) <= 51
    assert "unknown key" in lines[0]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{index}: 1\n" for index in range(20000)),
        "sources: [" + "{path: a.c}," * 20000 + "]",
        "duels: {" + "".join(f"d{index}: {{}}," for index in range(10000)) + "}",
        "[" * 200_000,
        "? " * 100_000,
        "a: '" + "''" * 100_000,
    ],
    ids=["keys", "sources", "duels", "brackets", "questions", "quotes"],
)
def test_a_hostile_file_is_refused_soon(tmp_path: Path, text: str) -> None:
    began = time.monotonic()
    refusal(course(tmp_path, text))
    assert time.monotonic() - began < 20


def test_the_error_survives_a_worker_process(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as caught:
        load_lab("gemm_cpu", course(tmp_path, changed("id: gemm_cpu", "id: other")))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.problems == caught.value.problems


# --- Fuzz: a lab or a ContractError, never anything else ------------------------------------------


def accepted(root: Path, text: str | bytes) -> Lab | None:
    """The lab, or None where the contract was refused in readable lines."""
    try:
        return load_lab("gemm_cpu", course(root, text))
    except ContractError as error:
        lines = str(error).split("\n")
        assert all(line.startswith("labs/gemm_cpu/lab.yaml") and line.isprintable() for line in lines), lines
        return None


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(data=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_refused_readably(fuzzed: Path, data: bytes) -> None:
    assert accepted(fuzzed, data) is None


@given(text=st.text(alphabet="ab:-{}[],&*!|>'\"#%@? \n\t\\01.", max_size=200))
@settings(max_examples=400, deadline=None)
def test_arbitrary_punctuation_is_refused_readably(fuzzed: Path, text: str) -> None:
    assert accepted(fuzzed, text) is None


FIELDS = sorted(
    {name for record in Contract.model_json_schema()["$defs"].values() for name in record["properties"]}
    | set(Contract.model_json_schema()["properties"])
)
words = (
    st.sampled_from(FIELDS)
    | st.sampled_from(["gemm.c", "large", "pass", "none", ".", "-O3"])
    | st.text(max_size=8)
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=20,
)


@given(tree=st.dictionaries(words, trees, max_size=8))
@settings(max_examples=300, deadline=None)
def test_arbitrary_trees_are_refused_readably(fuzzed: Path, tree: dict[str, Any]) -> None:
    assert accepted(fuzzed, yaml.safe_dump(tree, allow_unicode=True)) is None


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path] * bool(path) + [place for key, value in items for place in places(value, (*path, key))]


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_a_valid_contract_with_one_value_replaced_never_crashes(fuzzed: Path, data: st.DataObject) -> None:
    tree = copy.deepcopy(yaml.safe_load(VALID))
    *path, last = data.draw(st.sampled_from(places(tree)))
    parent = tree
    for key in path:
        parent = parent[key]
    if data.draw(st.booleans()):
        parent[last] = data.draw(trees)
    elif isinstance(parent, dict):
        parent[data.draw(words)] = parent.pop(last)
    lab = accepted(fuzzed, yaml.safe_dump(tree, sort_keys=False))
    if lab is not None:
        for duel in lab.duels.values():
            assert list(duel.tiers.values()) == sorted(set(duel.tiers.values()))
        assert all(0 < points < float("inf") for points in lab.points.values())


@given(
    place=st.integers(0, len(VALID) - 1),
    length=st.integers(0, 12),
    new=st.text(alphabet="{}[]:-,& *!a1.'\"\n", max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_a_valid_contract_with_some_text_replaced_never_crashes(
    fuzzed: Path, place: int, length: int, new: str
) -> None:
    accepted(fuzzed, VALID[:place] + new + VALID[place + length :])


# --- The labs and the document --------------------------------------------------------------------


@pytest.mark.parametrize("lab_id", list_labs(COURSE))
def test_every_lab_of_the_course_has_a_valid_contract(lab_id: str) -> None:
    lab = load_lab(lab_id, COURSE)
    assert lab.max_points == 100


def test_the_gemm_lab_has_the_duels_that_its_handout_promises() -> None:
    lab = load_lab("gemm_cpu", COURSE)
    assert lab.duels["large"].tiers == {
        "pass": 0.15,
        "bronze": 0.25,
        "silver": 0.50,
        "gold": 0.80,
        "bonus": 0.95,
    }
    assert lab.duels["threads"].against == "self"
    assert lab.duels["threads"].clock == "wall"
    assert list(lab.rungs) == ["naive", "reordered", "register_blocked", "packed", "threaded"]


def example() -> str:
    """The complete example of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.search(r"```yaml\n(schema: 1\n.*?)```", text, re.DOTALL)[1]  # type: ignore[index]


def test_the_example_of_the_document_is_valid_and_names_every_field(tmp_path: Path) -> None:
    text = example()
    lab = load_lab("gemm_cpu", course(tmp_path, text))
    assert lab.title
    missing = [name for name in FIELDS if name != "schema_version" and not re.search(rf"\b{name}:", text)]
    assert missing == []


def test_the_error_of_the_document_is_the_real_one(tmp_path: Path) -> None:
    text = example().replace("silver: 0.50", "silver: 0.20").replace("  flags:", "  flag:")
    shown = re.search(r"```text\n(labs/.*?)\n```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert refusal(course(tmp_path, text)) == shown[1]


def _kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        return f"[{schema['$ref'].split('/')[-1].lower()}](#{schema['$ref'].split('/')[-1].lower()})"
    if "anyOf" in schema:
        return _kind(schema["anyOf"][0])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}"
    if schema["type"] == "object":
        return f"mapping to {_kind(schema['additionalProperties'])}"
    name = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}[
        schema["type"]
    ]
    low, above, high = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None:
        return f"{name}, {low} to {high}"
    return f"{name} above {above}, at most {high}" if above is not None else name


def tables() -> str:
    """The tables of the document, from the descriptions in the code."""
    schema = Contract.model_json_schema()
    records = {"The whole file": schema, **{name: schema["$defs"][name] for name in DOCUMENT_ORDER}}
    parts = []
    for title, record in records.items():
        lines = [
            f"### {title}",
            "",
            record["description"],
            "",
            "| field | value | default | meaning |",
            "|---|---|---|---|",
        ]
        for name, field in record["properties"].items():
            needed = name in record.get("required", [])
            default = "**needed**" if needed else _default(field)
            lines.append(f"| `{name}` | {_kind(field)} | {default} | {field['description']} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


DOCUMENT_ORDER = ["Source", "Interface", "Build", "Limits", "Reference", "Gate", "Duel", "Hardware", "Rung"]


def _default(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return "its defaults"
    default = field.get("default")
    if default is None and "additionalProperties" in field:
        return "see the example" if field["description"].startswith("Tier") else "none"
    return (
        "none"
        if default in (None, [], ())
        else f"`{yaml.safe_dump(default, default_flow_style=True).split(chr(10))[0]}`"
    )


def test_the_tables_of_the_document_are_current() -> None:
    assert sorted(DOCUMENT_ORDER) == sorted(Contract.model_json_schema()["$defs"])
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    new = f"\n\n{tables()}\n\n"
    if os.environ.get("RENEW") == "1":
        DOCUMENT.write_text(before + BEGIN + new + END + after, encoding="utf-8")
        return
    assert old == new, "renew docs/lab-contract.md: RENEW=1 python -m pytest tests/test_lab.py -k current"


def test_the_import_is_light() -> None:
    code = (
        "import pydantic, yaml, time; from pydantic import BaseModel\n"
        "began = time.process_time(); import grader.lab; print(time.process_time() - began)\n"
        "import sys; assert not {'rich', 'numpy', 'cffi', 'pytest'} & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=COURSE, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.5
