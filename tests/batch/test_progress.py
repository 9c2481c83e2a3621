from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grader.batch.orders import Answer
from grader.batch.plan import Job
from grader.batch.progress import Progress, duration, eta_s
from grader.batch.store import Handed, Pieces
from tests import sample_results


def job(number, *students):
    pieces = Pieces(f"s{number}", "gemm_cpu", "l", "g", "c", "m", "h")
    return Job(f"k{number}", pieces, Path(), {}, tuple(Handed(name, "gemm_cpu") for name in students))


JOBS = [job(1, "ada", "bob"), job(2, "[bold]eve"), job(3, "zoe\x1b[2J")]


def shown(terminal, steps):
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=terminal, width=100, height=30, highlight=False, color_system=None
    )
    with Progress(console, JOBS, 4, 2) as progress:
        steps(progress)
        if terminal:
            console.print(progress._picture())
    return stream.getvalue()


def test_plain_lines_where_nobody_watches():
    def steps(progress):
        progress.told("k1", "beta zero")
        progress.ended(Answer("k1", "x"), sample_results.mixed())
        progress.ended(Answer("k2", "", "the disk\nis full"), None)

    lines = shown(False, steps).splitlines()
    assert lines == [
        "[1/3] ✓ ada, bob  gemm_cpu  53.3 / 68",
        "[2/3] – [bold]eve  gemm_cpu  not graded: the disk is full",
    ]


def test_the_table_says_who_runs_what_and_how_much_is_left():
    def steps(progress):
        progress.ended(Answer("k1", "x"), sample_results.mixed())
        progress.told("k3", "beta zero")

    text = shown(True, steps)
    assert "beta zero" in text
    assert "1 done, 1 running, 1 waiting, 4 from before; about" in text
    assert "\x1b[2J" not in text  # a name clears no screen


def test_a_failed_one_is_counted():
    text = shown(True, lambda progress: progress.ended(Answer("k2", "", "gone"), None))
    assert "0 done, 0 running, 2 waiting, 1 not graded" in text


@pytest.mark.parametrize(("over", "left"), [(0, None), (1, 90.0), (5, 10.0), (10, None)])
def test_the_rest_takes_as_long_as_it_took_so_far(over, left):
    elapsed = 10.0
    assert eta_s(over, 10, elapsed) == left


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (89, "89 s"), (600, "10 min"), (7500, "2 h 5 min")]
)
def test_durations_are_words(seconds, words):
    assert duration(seconds) == words
