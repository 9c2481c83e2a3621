"""Where gradings run: `local`, this machine; `parsl`, workers of Parsl here or on a cluster. One name decides."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

from grader.batch import scheduler
from grader.batch.orders import Terms
from grader.batch.plan import Place
from grader.batch.scheduler import Hands
from grader.batch.slot import Told

NAMES = ("local", "parsl", "parsl-slurm")


class ExecutorMissing(RuntimeError):
    """This executor cannot be had; the message says what is wanted."""


@contextlib.contextmanager
def hands(name: str, terms: Terms, told: Told) -> Iterator[Hands]:
    """Who does the work. Raises ExecutorMissing."""
    if name == "local":
        with scheduler.local(terms, told) as local:
            yield local
        return
    if name not in NAMES:
        raise ExecutorMissing(f"no executor is called {name!r}; there are {', '.join(NAMES)}")
    if importlib.util.find_spec("parsl") is None:
        raise ExecutorMissing(f"Parsl is missing: {sys.executable} -m pip install 'parsl>=2026.10'")
    from grader.batch import cluster

    with cluster.hands(name, terms) as far:
        yield far


def place(name: str, here: Place) -> Place:
    """What decides results there: a cluster's nodes are one kind of machine, and not this one."""
    if name != "parsl-slurm":
        return here
    from grader.batch import cluster

    return Place(here.compiler, cluster.machine())
