"""The submission's own report: JSON by the handout's schema, read with a message for each way to be wrong."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

from grader.testing import CheckFailed, check

SCHEMA = "microbench/1"
OPS = ("read", "write", "copy", "triad")
KEYS = {"schema", "clock_overhead_ns", "latency", "levels", "bandwidth", "branch", "noisy"}
SMALLEST, LARGEST, FEWEST, MOST = 8 << 10, 8 << 20, 12, 200


@dataclass(frozen=True)
class Profile:
    """What a report says, checked."""

    sizes: list[int]
    ns: list[float]
    levels: list[tuple[int, float]]
    rates: list[float]
    """GB/s of read, write, copy, triad."""
    branch: tuple[float, float]
    """ns with a random pattern, and with a sorted one."""

    def stairs(self) -> list[tuple[int, float]]:
        """The levels as a line: each begins at the first size behind the one before that is about as slow as it is."""
        corners: dict[int, float] = {}
        before = 0
        for end, ns in self.levels:
            places = zip(self.sizes, self.ns, strict=True)
            first = next((size for size, slow in places if before < size <= end and 1.4 * slow >= ns), end)
            corners |= {first: ns, end: ns}
            before = end
        return sorted(corners.items())


def read(text: bytes) -> Profile:
    """Read a report. Raises CheckFailed naming the field that is wrong."""
    fields = _object(_parsed(text), "the report", KEYS)
    check(fields["schema"] == SCHEMA, "schema is wrong", expected=SCHEMA, got=str(fields["schema"])[:40])
    check(isinstance(fields["noisy"], bool), "noisy is not true or false", got=str(fields["noisy"])[:40])
    _number(fields["clock_overhead_ns"], "clock_overhead_ns", zero=True)
    latency = [
        _object(item, f"latency[{i}]", {"bytes", "ns", "mad"}) for i, item in _items(fields, "latency")
    ]
    sizes = [_size(item["bytes"], f"latency[{i}].bytes") for i, item in enumerate(latency)]
    ns = [_number(item["ns"], f"latency[{i}].ns") for i, item in enumerate(latency)]
    for i, item in enumerate(latency):
        _number(item["mad"], f"latency[{i}].mad", zero=True)
    check(
        FEWEST <= len(sizes) <= MOST,
        "latency has too few sizes, or too many",
        expected=f"{FEWEST} to {MOST}",
        got=len(sizes),
    )
    check(all(a < b for a, b in itertools.pairwise(sizes)), "the sizes do not rise", got=sizes)
    check(
        sizes[0] <= SMALLEST and sizes[-1] >= LARGEST,
        "the sizes do not reach from the first cache to memory",
        expected=f"from at most {SMALLEST} to at least {LARGEST} bytes",
        got=f"{sizes[0]} to {sizes[-1]}",
    )
    levels = [_object(item, f"levels[{i}]", {"bytes", "ns"}) for i, item in _items(fields, "levels")]
    bandwidth = [
        _object(item, f"bandwidth[{i}]", {"op", "bytes", "gb_s"}) for i, item in _items(fields, "bandwidth")
    ]
    ops = [item["op"] for item in bandwidth]
    check(
        sorted(map(str, ops)) == sorted(OPS),
        "bandwidth must hold each operation once",
        expected=list(OPS),
        got=[str(op)[:20] for op in ops[:10]],
    )
    for i, item in enumerate(bandwidth):
        _size(item["bytes"], f"bandwidth[{i}].bytes")
    rates = {item["op"]: _number(item["gb_s"], f"bandwidth[{i}].gb_s") for i, item in enumerate(bandwidth)}
    branch = _object(fields["branch"], "branch", {"random_ns", "sorted_ns"})
    return Profile(
        sizes,
        ns,
        [
            (_size(item["bytes"], f"levels[{i}].bytes"), _number(item["ns"], f"levels[{i}].ns"))
            for i, item in enumerate(levels)
        ],
        [rates[op] for op in OPS],
        (_number(branch["random_ns"], "branch.random_ns"), _number(branch["sorted_ns"], "branch.sorted_ns")),
    )


def _parsed(text: bytes) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        return json.loads(text.decode("ascii"), parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise CheckFailed(
            f"the report is not plain ASCII: byte {error.start} is {text[error.start]}"
        ) from None
    except (ValueError, RecursionError) as error:
        place = getattr(error, "pos", 0)
        raise CheckFailed(
            f"the report is not JSON: {error}",
            got=f"… {text[max(0, place - 30) : place + 30].decode('ascii')} …",
        ) from None


def _object(value: Any, name: str, keys: set[str]) -> dict[str, Any]:
    check(isinstance(value, dict), f"{name} is not an object", got=str(value)[:60])
    missing, unknown = sorted(keys - set(value)), sorted(set(value) - keys)
    check(not missing, f"{name} lacks {', '.join(missing)}")
    check(not unknown, f"{name} has what the schema does not know: {', '.join(unknown)[:80]}")
    return dict(value)


def _items(fields: dict[str, Any], name: str) -> list[tuple[int, Any]]:
    value = fields[name]
    check(isinstance(value, list) and 1 <= len(value) <= MOST, f"{name} is not a list with something in it")
    return list(enumerate(value))


def _number(value: Any, name: str, zero: bool = False) -> float:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
    fine = fine and math.isfinite(value) and (value > 0 or (zero and value == 0))
    check(fine, f"{name} is not a number {'of 0 or more' if zero else 'above 0'}", got=str(value)[:40])
    return float(value)


def _size(value: Any, name: str) -> int:
    fine = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 48
    check(fine, f"{name} is not a whole number of bytes above 0", got=str(value)[:40])
    return int(value)
