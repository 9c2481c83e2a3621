"""Numbers that the device makes itself, made a second time: the trusted twin of runner/gpu_support.cuh.

Inputs of gigabytes do not travel to the GPU in every round; a runner fills its arrays from a seed that it gets when the
round begins. The grader makes the same numbers with CuPy or NumPy, whichever module `xp` is, and so knows the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TOUCHES = 64
"""Places of an array that get new numbers before every timed call."""


def mix(h: Any) -> Any:
    """The last step of MurmurHash3 (A. Appleby, public domain) on an array of uint32."""
    h = h ^ (h >> np.uint32(16))
    h = h * np.uint32(0x85EBCA6B)
    h = h ^ (h >> np.uint32(13))
    h = h * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def bits(seed: Any, i: Any) -> Any:
    """Numbers i (an array of uint64) of the row that `seed` names: 32 random bits each. Or an array of seeds."""
    high = mix(np.uint32(seed) ^ (i >> np.uint64(32)).astype(np.uint32))
    return mix(i.astype(np.uint32) * np.uint32(0x9E3779B9) + high)


def bit(seed: int, i: int) -> int:
    """One such number, as a plain int."""
    return int(bits(seed, np.array([i], np.uint64))[0])


def unit(h: Any) -> Any:
    """Random bits as floats in [0, 1), multiples of 2^-24."""
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def half_unit(h: Any) -> Any:
    """Random bits as halves in [0, 1), multiples of 2^-11, which are exact; as floats."""
    return (h >> np.uint32(21)).astype(np.float32) * np.float32(2.0**-11)


def filled(xp: Any, n: int, seed: int, number: Callable[[Any], Any] = unit) -> Any:
    """What `drive_fill` writes: n numbers in [0, 1), floats or (`half_unit`) halves."""
    return number(bits(seed, xp.arange(n, dtype=np.uint64)))


def touched(n: int, seed: Any, number: Callable[[Any], Any] = unit) -> tuple[Array, Array]:
    """What `drive_touch` writes: (TOUCHES places below n, their new numbers); a row each for a column of seeds."""
    j = np.arange(TOUCHES, dtype=np.uint64)
    stretch = n // TOUCHES
    places = j * np.uint64(stretch) + bits(seed, 2 * j) % np.uint32(stretch)
    return places.astype(np.int64), number(bits(seed, 2 * j + np.uint64(1)))
