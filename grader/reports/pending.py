"""What points that nobody has judged yet are for other systems: visible, pending, never full marks, no silent loss.

Decided once, for all of them:
- every export keeps the lab's maximum, so that it does not vary from push to push;
- what waits stands there with its points, by the words of `pending`;
- nothing that knows only passed and failed says passed: GitHub's reporter and Classroom 50 get a test that has not
  passed, JUnit a skipped one, Gradescope one without a status; the cells of Canvas and Moodle stay empty
  (`batch.gradebook`).
"""

from __future__ import annotations

from grader.reports import wording
from grader.result import Result

NAME = "not judged yet"


def pending(result: Result) -> str:
    """One line about the points that wait; '' for a complete result."""
    if result.complete:
        return ""
    waits, possible = wording.points(result.waiting), wording.points(result.possible)
    return f"{waits} of {possible} points are not judged yet: no fault of yours and not lost; this is no final grade"
