"""The runner: the untrusted process that holds a build (guest), the trusted side that drives it (host)."""
