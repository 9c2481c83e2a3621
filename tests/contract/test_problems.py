"""Facts about refusals: every mistake is told with file, line, field and advice."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from grader.lab import ContractError, load_lab
from tests.sample_contracts import VALID, changed, course, refusal

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
    "a source and a program": (
        ("  source: reference.c\n", "  source: reference.c\n  program: dash\n"),
        "11: reference: needs either a source or a program; write one of the two",
    ),
    "neither source nor program": (
        ("  source: reference.c\n", ""),
        "11: reference: needs either a source or a program; write one of the two",
    ),
    "a reference that is no model": (
        ("  source: reference.c\n", "  program: dash\n"),
        '12: reference.program: "dash" is none of the models; add it under sandbox.models',
    ),
    "a sandbox for no executable": (
        ("points:", "sandbox: {programs: [cat]}\npoints:"),
        "14: sandbox: says what the executable may start, but build.program names none; add it",
    ),
    "a main that is not there": (
        ("  libraries: [m]\n", "  libraries: [m]\n  program: {name: gemm, main: start.c}\n"),
        "11: build.program.main: labs/gemm_cpu/start.c does not exist",
    ),
    "a source called like main": (
        ("  libraries: [m]\n", "  libraries: [m]\n  program: {name: gemm, main: gemm.c}\n"),
        '6: sources[0].path: "gemm.c" has the name of a glue file; rename one',
    ),
    "a program with a folder": (
        ("points:", "sandbox: {programs: [/bin/cat]}\npoints:"),
        '14: sandbox.programs[0]: "/bin/cat" is not the name of a program, such as msh or cat',
    ),
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
    "faults missing": (
        ("libraries: [m]", "faults:\n    - extra.c"),
        "11: build.faults[0]: labs/gemm_cpu/extra.c does not exist",
    ),
    "faults as source": (
        ("libraries: [m]", "faults: [gemm.c]"),
        'sources[0].path: "gemm.c" has the name of a glue file; rename one',
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
    "no roofline without a reference": (
        (
            'reference:\n  source: reference.c\n  environment: {OPENBLAS_NUM_THREADS: "1"}\n'
            "points: {correctness: 60, performance: 40}\nduels:\n  large:\n",
            "points: {correctness: 60, performance: 40}\nduels:\n  large:\n    against: roofline\n    bound: memory\n",
        ),
        "13: duels.large: needs the lab's reference, but there is none",
    ),
    "which roofline": (
        ("    title: n = 3072\n", "    title: n = 3072\n    against: roofline\n"),
        "16: duels.large: is against the roofline; say which one: bound: memory, or bound: compute",
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


def test_many_problems_are_cut(tmp_path: Path) -> None:
    text = VALID + "".join(f"extra{index}: 1\n" for index in range(500))
    lines = refusal(course(tmp_path, text)).split("\n")
    assert len(lines) <= 51
    assert "unknown key" in lines[0]


def test_the_error_survives_a_worker_process(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as caught:
        load_lab("gemm_cpu", course(tmp_path, changed("id: gemm_cpu", "id: other")))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.problems == caught.value.problems
