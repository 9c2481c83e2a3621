"""Would real shells pass? `python benchmarks/real_shells.py [dash bash busybox] [--only TEST] [--seed N] [--slot N]`.

Runs the tests of mini_shell with an installed shell in the submission's place, and prints what each would lose and why.
The parser's tests call C functions, which no real shell has: there the lab's solution answers.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader import grading  # noqa: E402
from grader.lab import load_lab  # noqa: E402
from grader.runner.programs import ProgramRunner  # noqa: E402
from grader.sandbox.confine import beside  # noqa: E402
from grader.testing.program import Program  # noqa: E402
from grader.testing.subject import Subject  # noqa: E402
from grader.toolchain import programs as furniture  # noqa: E402
from labs.mini_shell.oracle import MODELS  # noqa: E402


class _Quiet:
    """Listens to nothing."""

    def start(self, total: int) -> None: ...
    def running(self, name: str) -> None: ...
    def finished(self, test: object) -> None: ...
    def phase(self, text: str) -> None: ...
    def on_round(self, *_: object) -> None: ...


def _shell(name: str, subject: Subject, variant: str = "release") -> Program:
    """The installed shell, judged as if it were handed in; its prompt is the handout's."""
    lab, key = subject.lab, f"real {name}"
    if key not in subject._programs:
        start = functools.partial(ProgramRunner, beside(subject.tier), furniture.furnish(lab, model=name))
        argv = furniture.find_model(lab, name).argv
        subject._programs[key] = Program(start, argv, environment={"PS1": "$ "})
    return subject._programs[key]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shells", nargs="*", default=list(MODELS))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--seed", type=int)
    parser.add_argument("--slot", type=int, default=0)
    arguments = parser.parse_args()
    lab = load_lab("mini_shell", ROOT)
    own = Subject.program
    try:
        for name in arguments.shells:
            Subject.program = functools.partialmethod(  # type: ignore[method-assign, assignment]
                lambda subject, variant="release", name=name: _shell(name, subject, variant)
            )
            options = grading.Options(
                only=tuple(arguments.only), seed=arguments.seed, performance=False, slot=arguments.slot
            )
            result = grading.grade(lab, lab.solution, options, _Quiet()).result  # type: ignore[arg-type]
            passed = sum(test.status == "passed" for test in result.tests)
            print(
                f"\n{name}: {passed} of {len(result.tests)} passed, {result.score:g} of {result.max_score:g}"
            )
            for test in result.tests:
                if test.status != "passed":
                    told = test.failure
                    print(f"  {test.status}: {test.name}: {told.summary if told else ''}")
                    if told is not None:
                        print(f"    case {told.case!r}, expected {told.expected!r}, got {told.got!r}"[:900])
    finally:
        Subject.program = own  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
