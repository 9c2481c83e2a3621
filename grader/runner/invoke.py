"""Calling a function in a guest with arrays: where they are placed, how they get there and back, what was damaged.

Arrays are numpy arrays (C-contiguous) or cffi structs that the grader owns; `bytes` pass as they are and `str` as a
C string, both for `const` parameters of one-byte items or `void`. What the header declares `const` goes to
the input arena, which the guest cannot write; everything else to the output arena, and is copied back after the call.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cffi
import numpy as np
import numpy.typing as npt

from grader.runner.arena import PAGE, Block, Edge, Placer
from grader.runner.channel import NOWHERE, Argument, Call, Crash, Handle, Value, Window
from grader.runner.host import Guest, GuestFailed, Timing
from grader.toolchain.interface import Function, Interface, Parameter

CANARY = 0xFF
"""Fills the bytes around arrays: as floats they are NaN, so that reading them shows in the result."""


@dataclass(frozen=True)
class Invocation:
    """One call: the function's name and its arguments in Python."""

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class _Placed:
    parameter: Parameter
    data: Any
    block: Block


@dataclass(frozen=True)
class Staged:
    """Calls whose arrays have their places."""

    calls: tuple[Call, ...]
    placed: tuple[_Placed, ...]

    @property
    def windows(self) -> tuple[Window, ...]:
        return tuple(item.block.window for item in self.placed)


class Damage(Exception):
    """A function wrote outside the arrays it was given."""


def needed_bytes(interface: Interface, invocations: Sequence[Invocation]) -> tuple[int, int]:
    """Room that the arrays of these calls take in the input and in the output arena, in bytes, with every guard."""
    totals = [0, 0]
    for invocation in invocations:
        function = interface.functions[invocation.function]
        for parameter, value in zip(function.parameters, invocation.arguments, strict=True):
            if _is_array(value):
                totals[0 if parameter.is_const else 1] += _bytes(interface, value).nbytes + 4 * PAGE
    return totals[0] + PAGE, totals[1] + PAGE


def stage(
    guest: Guest,
    interface: Interface,
    invocations: Sequence[Invocation],
    edge: Edge = "end",
    skew: Callable[[], int] = lambda: 0,
    first_page: int = 0,
) -> Staged:
    """Give every array its place. `skew` gives bytes of displacement for `edge="inside"`.

    Raises TypeError naming function and parameter when an argument does not fit the declaration, MemoryError when
    the arenas are too small.
    """
    placers = (Placer(0, guest.inputs.size, first_page), Placer(1, guest.outputs.size, first_page))
    calls, placed = [], []
    for invocation in invocations:
        function = interface.functions[invocation.function]
        if len(function.parameters) != len(invocation.arguments):
            raise TypeError(
                f"{function.name} takes {len(function.parameters)} arguments, not {len(invocation.arguments)}"
            )
        arguments: list[Argument] = []
        for parameter, value in zip(function.parameters, invocation.arguments, strict=True):
            if _is_array(value):
                nbytes = _checked(interface, function, parameter, value).nbytes
                block = placers[0 if parameter.is_const else 1].place(nbytes, edge, skew())
                placed.append(_Placed(parameter, value, block))
                arguments.append(block.pointer)
            else:
                arguments.append(_scalar(interface, function, parameter, value))
        calls.append(Call(interface.names.index(function.name), tuple(arguments)))
    return Staged(tuple(calls), tuple(placed))


def write(guest: Guest, interface: Interface, staged: Staged) -> None:
    """Put the arrays' contents in place, canaries around them. The guest must be frozen."""
    for item in staged.placed:
        window, block = item.block.window, item.block
        memory = guest.inputs if block.arena == 0 else guest.outputs
        memory.bytes_of(window.offset, block.offset - window.offset)[:] = CANARY
        end = block.offset + block.nbytes
        memory.bytes_of(end, window.offset + window.length - end)[:] = CANARY
        memory.bytes_of(block.offset, block.nbytes)[:] = _bytes(interface, item.data)


def read_back(guest: Guest, interface: Interface, staged: Staged) -> None:
    """Copy the outputs back into the caller's arrays. The guest must be frozen.

    Raises Damage when bytes around an output changed.
    """
    for item in staged.placed:
        block, window = item.block, item.block.window
        if block.arena == 0:
            continue
        _bytes(interface, item.data)[:] = guest.outputs.bytes_of(block.offset, block.nbytes)
        before = guest.outputs.bytes_of(window.offset, block.offset - window.offset)
        if np.any(before != CANARY):
            distance = before.size - int(np.flatnonzero(before != CANARY)[-1])
            raise Damage(f"wrote {distance} bytes before the start of {item.parameter.name}")
        end = block.offset + block.nbytes
        after = guest.outputs.bytes_of(end, window.offset + window.length - end)
        if np.any(after != CANARY):
            raise Damage(
                f"wrote {int(np.flatnonzero(after != CANARY)[0]) + 1} bytes past the end of {item.parameter.name}"
            )


def run(
    guest: Guest,
    interface: Interface,
    invocations: Sequence[Invocation],
    *,
    edge: Edge = "end",
    timeout_s: float | None,
) -> tuple[tuple[Value, ...], Timing]:
    """Stage, write, call and read back, for calls whose time does not matter.

    Raises what the steps raise, and GuestFailed with the place of a crash explained in words.
    """
    guest.wait_until_ready()
    staged = stage(guest, interface, invocations, edge)
    write(guest, interface, staged)
    try:
        values, timing = guest.call(staged.calls, staged.windows, timeout_s=timeout_s)
    except GuestFailed as failure:
        raise explained(failure, guest, staged) from failure
    read_back(guest, interface, staged)
    return values, timing


def explained(failure: GuestFailed, guest: Guest, staged: Staged) -> GuestFailed:
    """The same failure; a crash at a known place says which array it was about."""
    if failure.crash is None:
        return failure
    words = _place(failure.crash, guest, staged)
    if not words:
        return failure
    return GuestFailed(
        failure.kind,
        f"{failure.summary}: {words}",
        output=failure.output,
        crash=failure.crash,
        cpu_s=failure.cpu_s,
    )


def _place(crash: Crash, guest: Guest, staged: Staged) -> str:
    if crash.address == NOWHERE:
        misaligned = (
            "a misaligned address in an aligned vector load or store, or a pointer that never was one"
        )
        return misaligned if crash.signal == signal.SIGSEGV else ""
    verb = "wrote" if crash.is_write else "read"
    nearest: tuple[int, str] | None = None
    for item in staged.placed:
        start = guest.addresses[item.block.arena] + item.block.offset
        end = start + item.block.nbytes
        name = item.parameter.name
        if start <= crash.address < end:
            return f"it wrote to {name}, which is const" if crash.is_write and item.parameter.is_const else ""
        if crash.address >= end:
            found = (crash.address - end, f"it {verb} past the end of {name}{_far(crash.address - end)}")
        else:
            found = (
                start - crash.address,
                f"it {verb} before the start of {name}{_far(start - crash.address)}",
            )
        nearest = min(nearest, found) if nearest else found
    if nearest and nearest[0] < 1 << 20:
        return nearest[1]
    if crash.address < PAGE:
        return f"it {verb} through a NULL pointer"
    if abs(crash.address - crash.stack_pointer) < 1 << 16:
        return "the stack overflowed (a large local array, or recursion without end?)"
    return ""


def _far(distance: int) -> str:
    """A vector load that straddles the end faults at the page behind it: small distances say nothing."""
    return f", by {distance} bytes" if distance >= 64 else ""


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, cffi.FFI.CData, bytes, str))


def _bytes(interface: Interface, value: Any) -> npt.NDArray[np.uint8]:
    """A flat, shared view of an argument's bytes."""
    if isinstance(value, np.ndarray):
        return value.reshape(-1).view(np.uint8)
    if isinstance(value, (bytes, str)):
        text = value.encode("utf-8", "surrogateescape") + b"\0" if isinstance(value, str) else value
        return np.frombuffer(text, dtype=np.uint8)
    return np.frombuffer(interface.ffi.buffer(value), dtype=np.uint8)


def _checked(
    interface: Interface, function: Function, parameter: Parameter, value: Any
) -> npt.NDArray[np.uint8]:
    where = f"{function.name}, parameter {parameter.name}"
    if parameter.type.kind != "pointer":
        raise TypeError(f"{where}: an array was given, but it is a {parameter.type.cname}")
    item = parameter.type.item
    if isinstance(value, (bytes, str)):
        if not parameter.is_const or (item.kind != "void" and interface.ffi.sizeof(item) != 1):
            raise TypeError(f"{where}: text was given, but it is a {parameter.type.cname}")
        return _bytes(interface, value)
    if not isinstance(value, np.ndarray):
        given = interface.ffi.typeof(value)
        if given.kind not in ("pointer", "array") or (item.kind != "void" and given.item.cname != item.cname):
            raise TypeError(f"{where}: {parameter.type.cname} does not point to what a {given.cname} does")
        return _bytes(interface, value)
    if not value.flags.c_contiguous:
        raise TypeError(f"{where}: the array is not contiguous; copy it first")
    if not parameter.is_const and not value.flags.writeable:
        raise TypeError(f"{where}: the function writes here, but the array is read-only")
    if item.kind != "void" and not _fits(interface, item, value.dtype):
        raise TypeError(f"{where}: {parameter.type.cname} does not point to {value.dtype}")
    return _bytes(interface, value)


def _fits(interface: Interface, item: Any, dtype: np.dtype[Any]) -> bool:
    """Is an array of this type one of these C items? Half-precision floats travel as any two bytes."""
    if interface.ffi.sizeof(item) != dtype.itemsize:
        return False
    if item.kind != "primitive" or dtype.itemsize < 4:
        return True
    return (dtype.kind == "f") == (item.cname in ("float", "double"))


def _scalar(interface: Interface, function: Function, parameter: Parameter, value: Any) -> Argument:
    """The value as it travels, if C can hold it: a mistake of the lab must show here and not in the guest."""
    kind = parameter.type.kind
    if kind in ("pointer", "function") and (value is None or isinstance(value, Handle)):
        return value
    wrong = f"{function.name}, parameter {parameter.name}: {value!r} is not a {parameter.type.cname}"
    if kind not in ("primitive", "enum") or not isinstance(value, (int, float, np.number, np.bool_)):
        raise TypeError(wrong)
    is_float = parameter.type.cname in ("float", "double")
    if not is_float and not isinstance(value, (int, np.integer, np.bool_)):
        raise TypeError(wrong)
    try:
        plain = float(value) if is_float else int(value)
        interface.ffi.new(interface.ffi.getctype(parameter.type, "*"), plain)
    except (OverflowError, TypeError, ValueError) as error:
        raise TypeError(f"{wrong} ({error})") from error
    return plain
