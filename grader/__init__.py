"""Auto-grader for systems, HPC and CUDA labs: build, hidden tests, and measured duels with honest intervals."""

__version__ = "0.1.0"
