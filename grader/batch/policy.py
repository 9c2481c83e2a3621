"""Which attempt of each student and lab counts, and what is left of it after late days. Pure functions."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grader.batch.course import Course, LabPlan, Policy
from grader.batch.roster import Student
from grader.batch.store import Attempt

_DAY_S = 86400


@dataclass(frozen=True)
class Counted:
    """The attempt that counts. `score` is what is left after lateness; `late_days` are begun days after the due date,
    `free_days` those of them that cost nothing. `maximum`: the lab's, by its contract; None: as the attempt says.
    `time_unknown`: there is a due date, and nobody knows when it was handed in. `passed_over`: a later hand-in could
    not be taken and does not count."""

    attempt: Attempt
    score: float
    late_days: int = 0
    free_days: int = 0
    too_late: bool = False
    maximum: float | None = None
    time_unknown: bool = False
    passed_over: bool = False

    @property
    def possible(self) -> float:
        """What the lab is worth: the same for the whole class."""
        return self.attempt.max_score if self.maximum is None else self.maximum

    @property
    def waits(self) -> float:
        """Points that nobody has judged yet; above 0 the score is no grade."""
        rest = self.possible - self.attempt.judged_max
        return rest if rest > 1e-6 and not self.too_late else 0.0

    @property
    def note(self) -> str:
        """What a gradebook says beside the score."""
        parts = []
        if self.waits:
            parts.append(f"{self.waits:g} of {self.possible:g} points wait for another run")
        if self.attempt.refused:
            parts.append("what was handed in could not be taken")
        if self.passed_over:
            parts.append("a later hand-in could not be taken and does not count")
        if self.time_unknown:
            parts.append("time unknown, not counted as late")
        if self.too_late:
            parts.append(f"{_days(self.late_days)} late, too late to count")
        elif self.late_days:
            cost = f", {self.free_days} of them free" if self.free_days else ""
            parts.append(f"{_days(self.late_days)} late{cost}")
        return "; ".join(parts)


def counted(
    attempts: Sequence[Attempt],
    course: Course,
    students: Mapping[str, Student] | None = None,
    maxima: Mapping[str, float] | None = None,
) -> dict[tuple[str, str], Counted]:
    """For every (student, lab) the attempt that counts. Free late days are used up in the order of the due dates.

    `attempts` are all of them, the oldest first; `maxima` the points of each lab by its contract.
    """
    by_student: dict[str, dict[str, list[Attempt]]] = {}
    for item in attempts:
        by_student.setdefault(item.student, {}).setdefault(item.lab, []).append(item)
    result: dict[tuple[str, str], Counted] = {}
    for name, by_lab in by_student.items():
        student = (students or {}).get(name, Student(name))
        left = course.late.free_days if student.late_days is None else student.late_days
        for lab in sorted(by_lab, key=lambda item: (_due_s(course.plan(item)), item)):
            plan = _extended(course.plan(lab), student.extensions.get(lab, 0))
            most = (maxima or {}).get(lab)
            choices = [
                replace(_after_lateness(item, plan, course, left), maximum=most) for item in by_lab[lab]
            ]
            best = chosen(choices, course.attempts, course.refused_counts)
            left -= best.free_days
            result[name, lab] = replace(
                best, time_unknown=plan.due is not None and not best.attempt.handed_in
            )
    return result


def chosen(choices: Sequence[Counted], policy: Policy, refused_counts: bool = False) -> Counted:
    """The one that counts, of one student and lab, the oldest first; never empty.

    What could not be taken displaces nothing, unless `refused_counts`.
    """
    taken = [item for item in choices if refused_counts or not item.attempt.refused] or list(choices)
    best = _chosen(taken, policy)
    return replace(best, passed_over=taken[-1] is not choices[-1])


def _chosen(choices: Sequence[Counted], policy: Policy) -> Counted:
    if policy == "best":
        return max(choices, key=_worth)
    newest = choices[-1]
    if policy == "latest":
        return newest
    same = [item for item in choices if item.attempt.submission == newest.attempt.submission]
    return max(same, key=_worth)


def _worth(item: Counted) -> tuple[float, float, int]:
    """More points first, then more that could be judged, then the newer one."""
    return item.score, item.attempt.judged_max, item.attempt.id


def _after_lateness(attempt: Attempt, plan: LabPlan, course: Course, free: int) -> Counted:
    late = days_late(attempt.handed_in, plan, course.late.grace_minutes)
    if course.late.most_days is not None and late > course.late.most_days:
        return Counted(attempt, 0.0, late, 0, too_late=True)
    used = min(late, free)
    kept = max(0.0, 1.0 - course.late.per_day * (late - used))
    return Counted(attempt, attempt.score * kept, late, used)


def days_late(handed_in: str, plan: LabPlan, grace_minutes: int = 0) -> int:
    """Begun days after the due date; 0 where one of the two is unknown."""
    if plan.due is None or not handed_in:
        return 0
    over_s = _moment(handed_in) - plan.due.timestamp()
    return max(0, math.ceil(over_s / _DAY_S)) if over_s > 60 * grace_minutes else 0


def _extended(plan: LabPlan, days: int) -> LabPlan:
    """The plan with its due date so many days later."""
    due = None if plan.due is None else plan.due + datetime.timedelta(days=days)
    return plan.model_copy(update={"due": due})


def _due_s(plan: LabPlan) -> float:
    return plan.due.timestamp() if plan.due is not None else math.inf


def _moment(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count} days"
