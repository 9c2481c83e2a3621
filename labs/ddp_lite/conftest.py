"""The fixture of this lab: `open_world(4)` connects ranks that run the submission, and calls collectives on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from grader.testing import Ranks
from labs.ddp_lite.world import World

OpenWorld = Callable[..., World]


@pytest.fixture
def open_world(ranks: Callable[..., Ranks], rng: np.random.Generator) -> Iterator[OpenWorld]:
    """`open_world(4, weather=SHORT, wire=Wire(latency_s=0.01))`: contexts of four ranks, closed when the test ends."""
    opened: list[World] = []

    def connect(count: int, weather: int = 0, timeout_ms: int = 3000, own: bool = False, **how: Any) -> World:
        world = World(ranks(count, **how), count)
        opened.append(world)
        world.open(weather, int(rng.integers(1, 2**63)), timeout_ms, own)
        return world

    yield connect
    for world in opened:
        world.close()
