"""PyTorch's own all-reduce, for the tests that compare with it: `python torch_gloo.py BACKEND OP INPUT.npy OUTPUT.npy`.

Runs in a process of its own, one more for each row of INPUT; OUTPUT holds what each rank had afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np


def work(rank: int, backend: str, op: str, source: str, folder: str) -> None:
    """One rank: all-reduce its row, and leave the result in the folder."""
    import torch
    import torch.distributed as dist

    rows = np.load(source)
    dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=rank, world_size=len(rows))
    row = torch.from_numpy(rows[rank].copy())
    row = row.cuda(rank) if backend == "nccl" else row
    dist.all_reduce(row, op={"sum": dist.ReduceOp.SUM, "max": dist.ReduceOp.MAX}[op])
    np.save(Path(folder, f"{rank}.npy"), row.cpu().numpy())
    dist.destroy_process_group()


def main() -> None:
    """Start the ranks and collect their rows."""
    import torch.multiprocessing as mp

    backend, op, source, target = sys.argv[1:]
    world = len(np.load(source))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, args=(backend, op, source, folder), nprocs=world)
        np.save(target, np.stack([np.load(Path(folder, f"{rank}.npy")) for rank in range(world)]))


if __name__ == "__main__":
    main()
