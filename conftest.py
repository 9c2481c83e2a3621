"""For authors: a lab's tests under plain pytest, with its own options, tracebacks and debugger.

    pytest labs/gemm_cpu --submission solutions_hidden/gemm_cpu [--seed N] [-k NAME]

Does nothing in any other run: neither for this project's own tests, nor when the grader itself runs pytest,
since that brings its own GradingPlugin. Nothing is scored here; `make grade` does that.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent
if str(_ROOT) not in sys.path:  # plain `pytest` does not look for `grader` and `labs` here
    sys.path.insert(0, str(_ROOT))


class _Silent:
    """Progress is pytest's own."""

    def __getattr__(self, name: str) -> object:
        return lambda *event: None


def pytest_addoption(parser: pytest.Parser) -> None:
    options = parser.getgroup("grader", "a lab's tests, for authors")
    options.addoption("--submission", type=Path, help="the folder to test, e.g. solutions_hidden/LAB")
    options.addoption("--seed", type=int, default=0, help="random inputs; 0 unless told")


def pytest_configure(config: pytest.Config) -> None:
    paths = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    labs = {
        path.relative_to(_ROOT / "labs").parts[:1] for path in paths if path.is_relative_to(_ROOT / "labs")
    }
    if not labs:
        return
    from grader.testing.plugin import GradingPlugin

    if any(isinstance(plugin, GradingPlugin) for plugin in config.pluginmanager.get_plugins()):
        return
    folder = config.getoption("--submission")
    if folder is None or len(labs) != 1 or () in labs:
        raise pytest.UsageError("one lab and one folder: pytest labs/LAB --submission solutions_hidden/LAB")

    from grader.lab import load_lab
    from grader.sandbox.probe import best_tier
    from grader.submission import Refused, take
    from grader.testing.subject import Subject

    lab = load_lab(labs.pop()[0], _ROOT)
    try:
        submission = take(folder, lab)
    except Refused as refused:
        raise pytest.UsageError(str(refused)) from None
    subject = Subject(lab, submission.files, best_tier())
    config.add_cleanup(subject.close)
    config.pluginmanager.register(GradingPlugin(subject, config.getoption("--seed"), _Silent()))
