"""Parsl's HighThroughputExecutor, here or through Slurm, set so that whatever dies ends as a retry or a clear failure.

The settings and what each of them cures were found by killing everything there is: workers, blocks, the interchange
and this process. Slurm's options come from the environment: GRADER_SLURM_PARTITION, _ACCOUNT, _CORES (per grading),
_WALLTIME, _OPTIONS (more #SBATCH lines), _INIT (shell commands on the node); GRADER_PARSL_ADDRESS (of this machine, as
the nodes reach it) and GRADER_PARSL_FOLDER (for its job scripts, where the nodes see it; with Slurm `reports` here).
Parsl's own scripts lie beside this interpreter, which is seldom on $PATH: they are named by their place.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grader
from grader.batch.orders import Terms
from grader.batch.scheduler import Hands, grade_alone
from grader.trouble import CannotWork

_HEARTBEAT_S, _SILENT_S = 2, 10
"""A worker that died is noticed after the second of them; Parsl's own 30 s and 120 s let a class wait."""

_END_S = 60.0

_MARK = "GRADER_PARSL_BATCH"
"""In the environment of everything that a batch's Parsl starts here."""


_PREPARED = f"export PYTHONPATH={shlex.quote(str(Path(grader.__file__).parent.parent))}"
"""Shell commands before a worker: it finds the grader's modules, which are installed nowhere."""


def machine() -> str:
    """The kind of machine that results of the cluster belong to."""
    return f"slurm partition {_set('SLURM_PARTITION', 'default')}"


@contextlib.contextmanager
def hands(name: str, terms: Terms) -> Iterator[Hands]:
    """Workers of Parsl. At the end of the block, and when this process dies, all of them are gone.

    Raises CannotWork when Parsl cannot be started.
    """
    import parsl
    from parsl.concurrent import ParslPoolExecutor

    with tempfile.TemporaryDirectory(prefix="parsl-", dir=_folder(name)) as folder:
        config = _config(name, terms, folder)
        os.environ[_MARK] = folder
        try:
            kernel, executor = parsl.load(config), config.executors[0]
        except Exception as error:  # Parsl's own has no narrower class
            raise CannotWork(f"Parsl does not start: {' '.join(str(error).split())}") from error
        try:
            pool = ParslPoolExecutor(dfk=kernel)
            yield Hands(pool, grade_alone, 2 * terms.slots, lambda: _trouble(executor))
        finally:
            _end(kernel, executor, folder)
            parsl.clear()


def _end(kernel: Any, executor: Any, mark: str) -> None:
    """Stop everything. Without its interchange Parsl would wait for ever: then only the blocks are given back, and
    its workers end by themselves when they hear nothing any more."""
    from parsl.utils import Timer

    if _trouble(executor):
        # Or it would start new blocks in their place; its own close() asks the interchange.
        Timer.close(kernel.job_status_poller, _SILENT_S)
        executor.provider.cancel(list(executor.blocks_to_job_id.values()))
    else:
        ending = threading.Thread(target=kernel.cleanup, daemon=True)
        ending.start()
        ending.join(_END_S)
    for pid in _marked(mark):  # a worker that took a dead one's place is forgotten by Parsl
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> Iterator[int]:
    """Processes on this machine that were started with this mark in their environment; not this one."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{_MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)


def _config(name: str, terms: Terms, folder: str) -> Any:
    """Parsl's configuration for so many gradings at a time."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor

    executor = HighThroughputExecutor(
        label="grade",
        address=_set("PARSL_ADDRESS", "127.0.0.1"),
        heartbeat_period=_HEARTBEAT_S,
        heartbeat_threshold=_SILENT_S,
        block_error_handler=False,  # or one lost block spoils the executor for good
        prefetch_capacity=0,  # a waiting worker takes what a busy one would have kept
        # Otherwise interchange, workers and jobs outlive a killed batch for ever.
        interchange_launch_cmd=[_setpriv(), "--pdeathsig", "KILL", sys.executable, _script("interchange.py")],
        launch_cmd=_workers_command(),
        **(_here(terms) if name == "parsl" else _slurm(terms)),
    )
    return Config(
        executors=[executor],
        retries=1,
        usage_tracking=0,
        strategy="simple",
        strategy_period=1,
        max_idletime=1e9,
        run_dir=folder,
        initialize_logging=False,
    )


def _here(terms: Terms) -> dict[str, Any]:
    """Workers on this machine. They are not tied to cores: a timed test has the machine alone anyway."""
    from parsl import providers

    made: Any = providers  # typed where Parsl is installed, unknown where it is not

    return {
        "max_workers_per_node": terms.slots,
        "cores_per_worker": 1e-6,
        "provider": made.LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, worker_init=_PREPARED),
    }


def _slurm(terms: Terms) -> dict[str, Any]:
    """A Slurm job for each grading at a time; Slurm gives it its cores and its GPU."""
    from parsl.launchers import SimpleLauncher
    from parsl.providers import SlurmProvider

    cores = int(_set("SLURM_CORES", "1"))
    provider = SlurmProvider(
        partition=_set("SLURM_PARTITION", "") or None,
        account=_set("SLURM_ACCOUNT", "") or None,
        nodes_per_block=1,
        cores_per_node=cores,
        exclusive=False,
        init_blocks=terms.slots,
        min_blocks=terms.slots,
        max_blocks=terms.slots,
        launcher=SimpleLauncher(),
        walltime=_set("SLURM_WALLTIME", "08:00:00"),
        scheduler_options=_set("SLURM_OPTIONS", ""),
        worker_init=f"{_PREPARED}\n{_set('SLURM_INIT', '')}",
    )
    return {"max_workers_per_node": 1, "cores_per_worker": cores, "provider": provider}


def _workers_command() -> str:
    """How a node starts its workers: Parsl's own command line, which it fills in, by this interpreter."""
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

    _, _, arguments = str(DEFAULT_LAUNCH_CMD).partition(" ")
    start = f"{shlex.quote(sys.executable)} {shlex.quote(_script('process_worker_pool.py'))}"
    return f"{start.replace('{', '{{').replace('}', '}}')} {arguments}"


def _script(name: str) -> str:
    """One of Parsl's scripts, where its package was installed. Raises CannotWork."""
    path = Path(sysconfig.get_path("scripts"), name)
    if not path.is_file():
        raise CannotWork(
            f"Parsl's {name} is not in {path.parent}: {sys.executable} -m pip install --force-reinstall parsl"
        )
    return str(path)


def _setpriv() -> str:
    found = shutil.which("setpriv", path="/usr/bin:/bin")
    if found is None:
        raise CannotWork("setpriv is missing, which ends Parsl with the batch: apt-get install util-linux")
    return found


def _folder(name: str) -> str | None:
    """Where Parsl keeps its job scripts; None for the system's place, which nodes do not see."""
    named = _set("PARSL_FOLDER", "")
    if not named and name == "parsl-slurm":
        named = str(Path("reports").resolve())
        Path(named).mkdir(exist_ok=True)
    return named or None


def _trouble(executor: Any) -> str:
    """The interchange is the one process whose death Parsl does not notice: tasks would wait for ever."""
    process = getattr(executor, "interchange_proc", None)
    if process is not None and process.poll() is not None:
        return "Parsl's interchange died; the same command tries again"
    return ""


def _set(name: str, default: str) -> str:
    return os.environ.get(f"GRADER_{name}", default)
