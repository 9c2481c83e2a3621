"""PyTorch's own all-reduce, for the tests that compare with it: `python torch_gloo.py BACKEND OP FOLDER`.

One process for each row of FOLDER/given.npy; what rank r has afterwards is in FOLDER/r.npy. All of them end with the
process that started this one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import numpy as np

_PR_SET_PDEATHSIG = 1


def work(rank: int, backend: str, op: str, folder: Path) -> None:
    """One rank: all-reduce its row, and leave the result in the folder."""
    import torch
    import torch.distributed as dist

    rows = np.load(folder / "given.npy")
    dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=rank, world_size=len(rows))
    row = torch.from_numpy(rows[rank].copy())
    row = row.cuda(rank) if backend == "nccl" else row
    dist.all_reduce(row, op={"sum": dist.ReduceOp.SUM, "max": dist.ReduceOp.MAX}[op])
    np.save(folder / f"{rank}.npy", row.cpu().numpy())
    dist.destroy_process_group()


def main() -> None:
    """Start the ranks and wait for them."""
    import torch.multiprocessing as mp

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # spawn gives its own processes a like wish
    backend, op, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.spawn(work, args=(backend, op, folder), nprocs=len(np.load(folder / "given.npy")))


if __name__ == "__main__":
    main()
