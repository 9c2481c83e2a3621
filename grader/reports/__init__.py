"""Reports: each is a pure function of the result document and of nothing else."""
