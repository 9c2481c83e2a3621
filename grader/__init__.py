"""Auto-grader for systems, HPC and CUDA labs: build, hidden tests, and measured duels with honest intervals."""

import os

# The oracle computes between measured calls: numpy's BLAS must not keep other cores spinning. Read when numpy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.1.0"
