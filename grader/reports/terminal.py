"""The report a student reads in the terminal, and the live progress before it.

Every text of the document becomes a rich Text after cleaning, so nothing in it is ever read as markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as LiveProgress
from rich.text import Text

from grader.reports import axis, wording
from grader.reports.hidden import HINT, for_students
from grader.reports.text import one_line, plain
from grader.result import Duel, Failure, Result, TestResult

RERUN = "make grade LAB={lab} TEST={test} SEED={seed}"

_WIDTH = 100
_FOLD_ABOVE = 4  # more than this many tests of a category that went alike share a line
_NAMES = 6  # tests named in one such line

_MARK = {"passed": ("✓", "green"), "failed": ("✗", "red"), "not_judged": ("–", "yellow")}
_TIER_STYLE = {
    "pass": "cyan",
    "bronze": "dark_orange",
    "silver": "bold bright_white",
    "gold": "bold yellow",
    "bonus": "bold magenta",
}
# One character for one character, so that aligned columns stay aligned where only ASCII can be shown.
_ASCII = str.maketrans("✓✗–─━┿┼█▒◀▶│·×", "+x--=++#:<>|-x")


@dataclass(frozen=True)
class _Page:
    """Where lines are laid out: `width` columns of `console`."""

    console: Console
    width: int

    def wrapped(self, text: Text, indent: int = 0, hanging: int = 0) -> list[Text]:
        """`text` in lines that fit; the first is indented by `indent`, the others by `hanging` more."""
        first = text.wrap(self.console, max(8, self.width - indent - hanging))
        return [_indented(line, indent + (hanging if number else 0)) for number, line in enumerate(first)]

    def row(self, left: Text, right: Text, indent: int = 0, hanging: int = 2) -> list[Text]:
        """`left` wrapped, with `right` at the right border of the first line, or below if it is too long."""
        if right.cell_len > self.width - 24:
            return [*self.wrapped(left, indent, hanging), *self.wrapped(right, indent + hanging)]
        room = _Page(self.console, self.width - right.cell_len - 2)
        first, *others = room.wrapped(left, indent, hanging) or [Text()]
        gap = " " * max(2, self.width - first.cell_len - right.cell_len)
        return [Text.assemble(first, gap, right), *others]


def render(result: Result, console: Console, *, reveal: bool = False, rerun: str = RERUN) -> None:
    """Print the whole report.

    Hidden tests show their name and category only, unless `reveal` (for staff). `rerun` is the command that
    runs one test again; {lab}, {test} and {seed} in it are filled in.
    """
    shown = result if reveal else for_students(result)
    page = _Page(console, max(40, min(console.width, _WIDTH)))
    sections = [
        _header(page, shown),
        _tests(page, shown),
        _failures(page, shown, rerun),
        _duels(page, shown),
        _series(page, shown),
        _score(page, shown),
        _next(page, shown, rerun),
        _small_print(page, shown),
    ]
    for number, section in enumerate(filter(None, sections)):
        for line in [Text(), *section] if number else section:
            _print(console, line)


def _print(console: Console, line: Text) -> None:
    line = line.copy()
    line.rstrip()
    if console.options.ascii_only:
        line.plain = line.plain.translate(_ASCII).encode("ascii", "replace").decode()
    console.print(line, soft_wrap=True)


def _indented(line: Text, indent: int) -> Text:
    return Text.assemble(" " * indent, line) if indent else line


def _text(text: str, style: str = "") -> Text:
    return Text(one_line(text), style)


def _rule(page: _Page) -> Text:
    return Text("─" * page.width, "dim")


def _header(page: _Page, result: Result) -> list[Text]:
    mode = "practice run" if result.mode == "practice" else "official grading"
    about = Text.assemble(_text(result.submission), " · ", mode)
    if result.mode == "practice":
        about.append(" · advisory: hidden tests run at grading", "dim")
    title = page.row(_text(result.lab_title, "bold"), _text(result.lab, "dim"))
    return [*title, *page.wrapped(about), _rule(page)]


def _tests(page: _Page, result: Result) -> list[Text]:
    lines: list[Text] = []
    for category in dict.fromkeys(test.category for test in result.tests):
        lines += _category(
            page, category, [test for test in result.tests if test.category == category], result.duels
        )
    return lines


def _category(page: _Page, name: str, tests: Sequence[TestResult], duels: Sequence[Duel]) -> list[Text]:
    tiers = {duel.test_id: duel for duel in duels}
    earned = Text(
        f"{_earned(tests)} / {wording.points(math.fsum(test.max_points for test in tests))}", "bold"
    )
    lines = page.row(_text(name, "bold"), earned)
    quiet = [test for test in tests if test.status == "passed" and not test.message and test.id not in tiers]
    lost = tests if all(test.status == "failed" for test in tests) else []
    folded: set[str] = set()
    for status, alike in ("passed", quiet), ("failed", lost):
        if len(alike) > _FOLD_ABOVE:
            folded |= {test.id for test in alike}
            line = Text.assemble(_mark(status), f"{len(alike)} tests {status}")
            lines += page.row(line, _points(alike), indent=2)
    for test in tests:
        if test.id not in folded:
            lines += page.row(_test_line(test, tiers.get(test.id)), _points([test]), indent=2, hanging=4)
    return lines


def _test_line(test: TestResult, duel: Duel | None) -> Text:
    line = Text.assemble(_mark(test.status), _text(test.name))
    if test.hidden:
        line.append("  hidden", "dim")
    if duel is not None:
        line.append(f"  {one_line(wording.tier(duel))}", _tier_style(duel))
    elif test.status != "failed" and test.message:
        # A failed test's message stands further down, with all that helps to mend it.
        line.append(f"  {one_line(test.message)}", "dim")
    return line


def _mark(status: str) -> Text:
    mark, style = _MARK[status]
    return Text(f"{mark} ", style)


def _earned(tests: Iterable[TestResult]) -> str:
    judged = [test.points for test in tests if test.status != "not_judged"]
    return wording.points(math.fsum(judged)) if judged else "–"


def _points(tests: Sequence[TestResult]) -> Text:
    most = math.fsum(test.max_points for test in tests)
    return Text(f"{_earned(tests)} / {wording.points(most)}", "dim") if most else Text()


def _failures(page: _Page, result: Result, rerun: str) -> list[Text]:
    """The first failure in full, the others in a line each; those with the same words share one."""
    first = wording.first_failure(result.tests)
    if first is None:
        return []
    others = [test for test in result.tests if test.status == "failed" and test is not first]
    return [*_first_failure(page, result, first, rerun), *_other_failures(page, others)]


def _first_failure(page: _Page, result: Result, test: TestResult, rerun: str) -> list[Text]:
    inner = _Page(page.console, page.width - 2)
    title = Text.assemble(
        _mark("failed"), _text(test.name, "bold red"), ("  " + one_line(test.category), "dim")
    )
    if test.hidden:
        title.append(", hidden", "dim")
    body: list[Text] = []
    if test.failure is None:
        body += inner.wrapped(_text(test.message or "This test failed."))
    else:
        body += _explained(inner, test.failure)
    if test.hidden and test.failure is None:
        body += [Text(), *inner.wrapped(Text(HINT))]
    else:
        # Never wrapped: it is there to be copied.
        body += [
            Text(),
            Text.assemble(("run again  ", "dim"), (wording.rerun_command(rerun, result, test), "cyan")),
        ]
    return [*page.wrapped(title, hanging=2), *(Text.assemble(("│ ", "red"), line) for line in body)]


def _explained(page: _Page, failure: Failure) -> list[Text]:
    lines = page.wrapped(Text(plain(failure.summary)))
    facts = [
        ("case", failure.case),
        ("expected", failure.expected),
        ("got", failure.got),
        ("where", failure.where),
    ]
    rows = [line for name, value in facts if value for line in _fact(page, name, value)]
    if rows:
        lines += [Text(), *rows]
    if failure.detail:
        lines += [Text(), *page.wrapped(Text(plain(failure.detail, 2500), "dim"))]
    if failure.why:
        lines += [Text(), *_fact(page, "why", failure.why)]
    return lines


def _fact(page: _Page, name: str, value: str) -> list[Text]:
    first, *others = page.wrapped(Text(plain(value, 800)), indent=11)
    return [Text.assemble((name.ljust(11), "dim"), first[11:]), *others]


def _other_failures(page: _Page, tests: Sequence[TestResult]) -> list[Text]:
    if not tests:
        return []
    lines = [Text(), Text("Also failing", "bold")]
    by_summary: dict[str, list[str]] = {}
    for test in tests:
        by_summary.setdefault(_summary(test), []).append(one_line(test.name))
    for summary, names in by_summary.items():
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        line = Text.assemble(_mark("failed"), ", ".join(names[:_NAMES]), more, (f": {summary}", "dim"))
        lines += page.wrapped(line, indent=2, hanging=4)
    return lines


def _summary(test: TestResult) -> str:
    summary = test.failure.summary if test.failure else test.message
    if test.hidden and not summary:
        return f"hidden, {one_line(test.category)}"
    return one_line(summary) or "no message"


def _duels(page: _Page, result: Result) -> list[Text]:
    lines: list[Text] = []
    for duel in result.duels:
        lines += [Text(), *_duel(page, duel)] if lines else _duel(page, duel)
    return lines


def _series(page: _Page, result: Result) -> list[Text]:
    """What the submission has measured, one line each; the HTML report draws it."""
    sentences = [wording.sweep(item) for item in result.series]
    return [line for sentence in sentences for line in page.wrapped(Text(sentence, "dim"))]


def _duel(page: _Page, duel: Duel) -> list[Text]:
    title = Text.assemble(_text(duel.title, "bold"), (f" vs {one_line(duel.reference)}", "dim"))
    lines = page.row(title, _outcome(duel))
    drawn = axis.draw(duel, page.width - 4)
    style = "dim" if duel.verdict == "not_judged" else _tier_style(duel)
    if drawn.bar:
        bar = Text.assemble((drawn.bar[: drawn.reached], style), (drawn.bar[drawn.reached :], "dim"))
        lines.append(_indented(bar, 2))
    if drawn.labels:
        lines += [_indented(Text(label, "dim"), 2) for label in drawn.labels]
    else:
        tiers = ", ".join(
            f"{one_line(name)} {wording.threshold(ratio)}" for name, ratio in duel.tiers.items()
        )
        lines += page.wrapped(Text(f"tiers: {tiers}", "dim"), indent=2)
    for sentence in _about_duel(duel):
        lines += page.wrapped(Text(sentence), indent=2)
    return lines


def _outcome(duel: Duel) -> Text:
    tier = (one_line(wording.tier(duel)), _tier_style(duel))
    if duel.ratio is None:
        return Text.assemble(tier)
    outcome = Text(wording.ratio_down(duel.ratio), "bold")
    if duel.interval is not None:
        low, high = duel.interval
        outcome.append(f" [{wording.ratio_down(low)} .. {wording.ratio_up(high)}]", "dim")
    return Text.assemble(outcome, "  ", tier)


def _tier_style(duel: Duel) -> str:
    if duel.verdict == "not_judged":
        return "yellow"
    return _TIER_STYLE.get(duel.tier, "bold") if duel.tier else "red"


def _about_duel(duel: Duel) -> list[str]:
    sentences: list[str] = []
    if duel.verdict == "not_judged":
        reason = one_line(duel.reason).rstrip(".") or "no reason was given"
        sentences.append(f"Not judged, and not your fault: {reason}.")
    if rates := wording.rates(duel):
        clock = "CPU" if duel.clock == "cpu" else "wall"
        rounds = wording.count(duel.rounds, "round")
        sentences.append(f"{one_line(rates)} (median of {rounds}, {clock} time)")
    if sentence := wording.slowest(duel):
        sentences.append(one_line(sentence))
    if sentence := wording.roofline(duel):
        sentences.append(one_line(sentence))
    if duel.reason and duel.verdict != "not_judged":
        sentences.append(one_line(duel.reason))
    return sentences


def _score(page: _Page, result: Result) -> list[Text]:
    share = result.score / result.judged_max if result.judged_max else 0.0
    style = "bold green" if share >= 1 else "bold"
    line = Text.assemble(
        ("Score ", "bold"),
        (wording.points(result.score), style),
        (f" / {wording.points(result.max_score)}", style),
    )
    waits = result.max_score - result.judged_max
    if waits > 0:
        judged = f"{wording.points(result.judged_max)} judged here, {wording.points(waits)} wait"
        line.append(f"  ({judged})")
    if result.mode == "practice":
        line.append("  advisory", "dim")
    lines = [_rule(page), *page.wrapped(line), _score_bar(page, result)]
    reasons = wording.waiting(result)
    if waits > 0 and reasons:
        lines += page.wrapped(
            Text("Not your fault, and it costs you nothing: these points wait for another run.")
        )
        for reason in reasons:
            lines += page.wrapped(Text.assemble(_mark("not_judged"), reason), indent=2, hanging=2)
    for note in result.notes:
        lines += page.wrapped(Text.assemble(("note: ", "dim"), _text(note, "dim")), hanging=6)
    return lines


def _score_bar(page: _Page, result: Result) -> Text:
    """Earned, lost and waiting points as one line."""
    if result.max_score <= 0:
        return Text()
    per_point = page.width / result.max_score
    earned = min(page.width, round(result.score * per_point))
    judged = max(earned, min(page.width, round(result.judged_max * per_point)))
    return Text.assemble(
        ("━" * earned, "green"), ("─" * (judged - earned), "red"), ("·" * (page.width - judged), "yellow")
    )


def _next(page: _Page, result: Result, rerun: str) -> list[Text]:
    lines = [Text("What next", "bold")]
    for number, step in enumerate(wording.what_next(result, rerun), 1):
        sentence, _, command = step.partition("\n")
        lines += page.wrapped(Text.assemble((f"{number}. ", "bold"), sentence), indent=2, hanging=3)
        if command:
            lines.append(_indented(Text(command, "cyan"), 5))
    return lines


def _small_print(page: _Page, result: Result) -> list[Text]:
    sandbox = f"sandbox {result.sandbox.tier}: {one_line(result.sandbox.description)}"
    if result.sandbox.missing:
        sandbox += f" (without {', '.join(one_line(item) for item in result.sandbox.missing)})"
    seeds = [
        f"seed {seed}" if name == "run" else f"{one_line(name)} {seed}" for name, seed in result.seeds.items()
    ]
    machine = f"{one_line(result.machine.cpu)}, {wording.count(result.machine.cores, 'core')}"
    run = " · ".join([*seeds, machine, f"{result.duration_s:.0f} s"])
    return [*page.wrapped(Text(sandbox, "dim"), hanging=2), *page.wrapped(Text(run, "dim"), hanging=2)]


class Progress:
    """Live progress while grading: one line that changes on a terminal, otherwise silence.

    With `verbose`, every phase and finished test also gets a line that stays. Use it as a context manager, or
    call `close` when done, also after an error: that gives the cursor back.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._live = LiveProgress(
            SpinnerColumn("line" if console.options.ascii_only else "dots"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._live.add_task("", total=None)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, total: int) -> None:
        """Say how many tests there are; the bar fills as they finish."""
        self._live.start()
        self._live.update(self._task, total=total)

    def phase(self, text: str) -> None:
        """Say what happens now, e.g. 'building with AddressSanitizer'."""
        self._live.start()
        self._live.update(self._task, description=one_line(text, 60))
        self._say(_text(text, "dim"))

    def running(self, name: str) -> None:
        """Name the test that runs now."""
        self._live.update(self._task, description=one_line(name, 60))

    def finished(self, test: TestResult) -> None:
        """Count a finished test."""
        self._live.advance(self._task)
        self._say(Text.assemble(_mark(test.status), _text(test.name)))

    def close(self) -> None:
        """Remove the live line."""
        self._live.stop()

    def _say(self, line: Text) -> None:
        if self._verbose:
            _print(self._console, line)
