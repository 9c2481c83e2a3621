from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from grader import history
from grader.history import MOST_RUNS, Run
from tests import sample_results


def run(folder: str, score: float = 1.0) -> Run:
    return Run(folder, "2026-01-01T00:00:00Z", "practice", score, 100.0, {"large": 0.5})


def test_a_run_remembers_the_score_and_the_judged_ratios(tmp_path):
    kept = history.of(sample_results.mixed(), tmp_path)
    assert (kept.score, kept.judged_max) == (53.3, 68)
    assert kept.ratios == {"large": 0.7312, "mix": 0.112}


def test_the_last_five_of_a_folder_oldest_first(tmp_path):
    file = tmp_path / "new" / "history.jsonl"
    for number in range(7):
        history.keep(file, run(str(tmp_path), number))
        history.keep(file, run("/elsewhere", 99))
    assert [item.score for item in history.last(file, tmp_path)] == [2, 3, 4, 5, 6]


def test_the_oldest_runs_go_first(tmp_path):
    file = tmp_path / "history.jsonl"
    file.write_text(
        "".join(
            f'{{"folder":"a","at":"","mode":"","score":{n},"judged_max":1,"ratios":{{}}}}\n'
            for n in range(500)
        )
    )
    history.keep(file, run("a", 1000))
    runs = history.read(file)
    assert len(runs) == MOST_RUNS
    assert runs[-1].score == 1000


def test_no_file_is_no_history(tmp_path):
    assert history.read(tmp_path / "none") == []


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_a_damaged_file_loses_lines_and_nothing_else(data):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "history.jsonl"
        history.keep(file, run("a"))
        file.write_bytes(file.read_bytes() + data.replace(b"\n", b" ") + b"\n")
        history.keep(file, run("a", 2))
        assert history.read(file)[-1].score == 2
