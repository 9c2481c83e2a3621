"""The report as GitHub-flavoured Markdown: step summaries, releases, feedback files.

Every text of the document is escaped or stands in a code block, so nothing in it is read as markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from grader.reports import axis, wording
from grader.reports.hidden import HINT, for_students
from grader.reports.text import fenced, one_line, plain
from grader.reports.text import markdown as escaped
from grader.result import Duel, Failure, Result, TestResult

RERUN = "make grade LAB={lab} TEST={test} SEED={seed}"

_MARK = {"passed": "✅", "failed": "❌", "not_judged": "➖"}
_COLUMNS = 72  # of a drawn duel
_EXPLAINED = 5  # failures shown in full


def markdown(result: Result, *, reveal: bool = False, rerun: str = RERUN, limit: int = 1 << 19) -> str:
    """The whole report, at most `limit` bytes of UTF-8.

    Hidden tests show their name and category only, unless `reveal` (for staff). What does not fit is left out from
    the end, in whole sections, and a last line says so.
    """
    shown = result if reveal else for_students(result)
    sections = [
        _head(shown),
        *_failures(shown, rerun),
        _duels(shown),
        _next(shown, rerun),
        _tests(shown),
        _provenance(shown),
    ]
    return _fitting([section for section in sections if section], limit)


def _fitting(sections: Sequence[str], limit: int) -> str:
    rest = "*The rest is left out here: it is too long.*\n"
    text, room = "", limit - len(rest.encode())
    for section in sections:
        if len((text + section).encode()) > room:
            return text + rest
        text += section + "\n"
    return text


def _head(result: Result) -> str:
    score = f"{wording.points(result.score)} / {wording.points(result.max_score)}"
    lines = [f"## {_cell(result.lab_title)}: {score}", ""]
    if result.mode == "practice":
        public = all(test.status != "failed" for test in result.tests)
        said = "All public tests passed. " if public else ""
        lines += [f"{said}This is a practice run and advisory: hidden tests run at grading.", ""]
    waits = result.max_score - result.judged_max
    if waits > 0:
        judged = wording.points(result.judged_max)
        lines += [
            f"{judged} points were judged here. The others wait for another run, and that is not your fault:",
            "",
        ]
        lines += [f"- {_cell(reason)}" for reason in wording.waiting(result)] + [""]
    lines += ["| part | points | tests |", "|---|---:|---|"]
    for category in dict.fromkeys(test.category for test in result.tests):
        lines.append(_category(category, [test for test in result.tests if test.category == category]))
    return "\n".join([*lines, ""])


def _category(name: str, tests: Sequence[TestResult]) -> str:
    judged = [test.points for test in tests if test.status != "not_judged"]
    earned = wording.points(math.fsum(judged)) if judged else "–"
    most = wording.points(math.fsum(test.max_points for test in tests))
    numbers = {mark: sum(test.status == status for test in tests) for status, mark in _MARK.items()}
    counts = " ".join(f"{mark} {number}" for mark, number in numbers.items() if number)
    return f"| {_cell(name)} | {earned} / {most} | {counts} |"


def _failures(result: Result, rerun: str) -> Iterator[str]:
    """The first failure open, some more folded, the rest by name."""
    first = wording.first_failure(result.tests)
    if first is None:
        return
    others = [test for test in result.tests if test.status == "failed" and test is not first]
    explained = [test for test in others if test.failure is not None][: _EXPLAINED - 1]
    yield "### What is wrong\n"
    yield _failure(result, first, rerun, is_open=True)
    for test in explained:
        yield _failure(result, test, rerun, is_open=False)
    rest = [test for test in others if test not in explained]
    if rest:
        names = ", ".join(_cell(test.name) + (" (hidden)" if test.hidden else "") for test in rest)
        yield f"Also failing: {names}.\n"


def _failure(result: Result, test: TestResult, rerun: str, *, is_open: bool) -> str:
    where = f"{_cell(test.category)}, hidden" if test.hidden else _cell(test.category)
    lines = [
        f"<details{' open' if is_open else ''}><summary>❌ <b>{_cell(test.name)}</b> ({where})</summary>",
        "",
    ]
    if test.failure is not None:
        lines += _explained(test.failure)
    elif test.message:
        lines += [_cell(test.message), ""]
    if test.hidden and test.failure is None:
        lines += [HINT, ""]
    else:
        lines += ["Run again:", "", fenced(wording.rerun_command(rerun, result, test), "sh"), ""]
    return "\n".join([*lines, "</details>", ""])


def _explained(failure: Failure) -> list[str]:
    facts = [(name, getattr(failure, name)) for name in ("case", "expected", "got", "where")]
    width = max((len(name) for name, value in facts if value), default=0)
    rows = [f"{name.ljust(width)}  {plain(value, 800)}" for name, value in facts if value]
    lines = [_cell(failure.summary), ""]
    lines += [fenced("\n".join(rows)), ""] if rows else []
    lines += [fenced(plain(failure.detail, 2500)), ""] if failure.detail else []
    lines += [f"Why: {_cell(failure.why, 1000)}", ""] if failure.why else []
    return lines


def _duels(result: Result) -> str:
    if not result.duels:
        return ""
    lines = ["### Performance", "", "| duel | against | ratio | interval | tier |", "|---|---|---:|---|---|"]
    lines += [_duel(duel) for duel in result.duels]
    drawings = [drawing for duel in result.duels if (drawing := _drawn(duel))]
    return "\n".join([*lines, "", *([fenced("\n\n".join(drawings)), ""] if drawings else [])])


def _duel(duel: Duel) -> str:
    ratio = wording.ratio_down(duel.ratio) if duel.ratio is not None else "–"
    interval = "–"
    if duel.interval is not None:
        interval = f"{wording.ratio_down(duel.interval[0])} .. {wording.ratio_up(duel.interval[1])}"
    return f"| {_cell(duel.title)} | {_cell(duel.reference)} | {ratio} | {interval} | {_cell(wording.tier(duel))} |"


def _drawn(duel: Duel) -> str:
    drawn = axis.draw(duel, _COLUMNS)
    about = [
        plain(line) for line in (wording.rates(duel), wording.slowest(duel), wording.roofline(duel)) if line
    ]
    return "\n".join([one_line(duel.title), drawn.bar, *drawn.labels, *about]).rstrip() if drawn.bar else ""


def _next(result: Result, rerun: str) -> str:
    lines = ["### What next", ""]
    for number, step in enumerate(wording.what_next(result, rerun), 1):
        sentence, _, command = step.partition("\n")
        lines.append(f"{number}. {_cell(sentence, 600)}")
        lines += [f"   {line}" for line in fenced(command, "sh").split("\n")] if command else []
    return "\n".join([*lines, ""])


def _tests(result: Result) -> str:
    rows = [_test(test) for test in result.tests]
    head = ["<details><summary>All tests</summary>", "", "| | test | points | |", "|---|---|---:|---|"]
    return "\n".join([*head, *rows, "", "</details>", ""])


def _test(test: TestResult) -> str:
    name = _cell(test.name) + (" *hidden*" if test.hidden else "")
    earned = "–" if test.status == "not_judged" else wording.points(test.points)
    return f"| {_MARK[test.status]} | {name} | {earned} / {wording.points(test.max_points)} | {_cell(test.message)} |"


def _provenance(result: Result) -> str:
    machine = f"{result.machine.cpu}, {wording.count(result.machine.cores, 'core')}"
    parts = [
        f"sandbox {result.sandbox.tier}",
        machine,
        *(f"{name} {value}" for name, value in result.toolchain.items()),
    ]
    parts += [f"seed {seed}" for name, seed in result.seeds.items() if name == "run"]
    parts += [result.started_at, f"{result.duration_s:.0f} s"]
    return f"<sub>{' · '.join(_cell(part) for part in parts)}</sub>\n"


def _cell(text: str, limit: int = 300) -> str:
    return escaped(one_line(text, limit))
