"""Where PyTorch is installed: its all-reduce of the same numbers, made in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from grader.testing import NotJudged
from labs.ddp_lite.world import Floats

SCRIPT = Path(__file__).with_name("torch_gloo.py")


def need_torch(gpus: int = 0) -> None:
    """Raises NotJudged with the command that installs PyTorch, or when there are too few GPUs."""
    if importlib.util.find_spec("torch") is None:
        raise NotJudged("needs PyTorch: pip install torch --index-url https://download.pytorch.org/whl/cpu")
    if gpus:
        question = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
        answer = subprocess.run(question, capture_output=True, text=True, timeout=120)
        if answer.returncode != 0 or int(answer.stdout.strip() or 0) < gpus:
            raise NotJudged(f"needs {gpus} GPUs and a PyTorch that can use them")


def all_reduced(
    given: Sequence[Floats], op: Literal["sum", "max"], backend: Literal["gloo", "nccl"], files: Path
) -> list[Floats]:
    """What each of PyTorch's ranks has afterwards; `files` is a folder that goes with the test.

    Raises NotJudged when PyTorch does not work here.
    """
    folder = Path(tempfile.mkdtemp(dir=files))
    np.save(folder / "given.npy", np.stack(given))
    command = [sys.executable, str(SCRIPT), backend, op, str(folder)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        raise NotJudged(f"PyTorch's {backend} did not finish here") from None
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NotJudged(f"PyTorch's {backend} does not work here: {last[:200]}")
    return [np.load(folder / f"{rank}.npy") for rank in range(len(given))]
