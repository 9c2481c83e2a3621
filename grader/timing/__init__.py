"""Measurement: duels with sequential intervals, the machine's fitness, and its ceilings."""
