"""How compilers and student code are confined: the tier this machine allows, and one way to start a process in it."""
