"""The frames between grader and guest: small, fixed, binary; nothing that arrives is believed or executed.

One frame is one message of a SOCK_SEQPACKET socket. To the guest: operations, each one byte of kind and a fixed body.
From the guest: 'S' started (before it loads the submission), 'H' hello, 'D' done with the call's token and
one fixed-size value per call, 'X' a word about a crash.
All numbers are little endian. `guest.py` holds the other end and shares this layout, not this file: it must run
without the grader's package.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_FRAME = 128 * 1024

STARTED = b"S"  # the whole frame

HELLO = struct.Struct("<c7xQQ")  # 'H', addresses of the input and of the output arena in the guest
DONE = struct.Struct("<cB6xQ")  # 'D', error flag, token; then one VALUE per call
VALUE = struct.Struct("<c7x8s")  # tag, 8 bytes
# 'X', signal, flags (1: it wrote, 2: it was refused memory), address, stack pointer
CRASH = struct.Struct("<cBB5xQQ")

_BATCH = struct.Struct("<cxHxxxxQ")  # 'B', number of operations, token
_CLOSE = struct.Struct("<c")
_WINDOW = struct.Struct("<cBQQ")  # 'W', arena, offset, length
_CALL = struct.Struct("<cHB")  # 'C', function index, number of arguments
_ARGUMENT = struct.Struct("<c8s")

Arena = Literal[0, 1]
"""0: inputs, read-only in the guest. 1: outputs."""


@dataclass(frozen=True)
class Window:
    """Pages of an arena that the guest may touch."""

    arena: Arena
    offset: int
    length: int


@dataclass(frozen=True)
class Pointer:
    """A place in an arena, as an argument."""

    arena: Arena
    offset: int


@dataclass(frozen=True)
class Handle:
    """A pointer that an earlier call returned; it stays in the guest, the grader knows its number only."""

    slot: int


Argument = int | float | None | Pointer | Handle
Value = int | float | None | Handle


@dataclass(frozen=True)
class Call:
    """One call of the function with this index in the build's list."""

    function: int
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Crash:
    """What the guest's signal handler could still say. Advice for the student, never evidence."""

    signal: int
    is_write: bool
    address: int
    """What it touched, or NOWHERE when the machine does not say: a misaligned vector, or no access at all."""
    stack_pointer: int
    refused_memory: bool = False
    """Was memory the last thing that the system refused it?"""


NOWHERE = (1 << 64) - 1


@dataclass(frozen=True)
class Done:
    """The answer to a batch."""

    token: int
    failed: bool
    values: tuple[Value, ...]


class ProtocolError(Exception):
    """The guest sent what no honest guest sends."""


def encode_batch(token: int, windows: Sequence[Window] | None, calls: Sequence[Call]) -> bytes:
    """A frame of operations. `windows` None leaves the open windows as they are.

    Raises ValueError when the frame would be larger than MAX_FRAME.
    """
    operations: list[bytes] = []
    if windows is not None:
        operations.append(_CLOSE.pack(b"P"))
        operations += [_WINDOW.pack(b"W", window.arena, window.offset, window.length) for window in windows]
    for call in calls:
        packed = b"".join(_pack_argument(argument) for argument in call.arguments)
        operations.append(_CALL.pack(b"C", call.function, len(call.arguments)) + packed)
    body = b"".join(operations)
    frame = _BATCH.pack(b"B", len(operations), token) + body if len(body) < MAX_FRAME else b""
    if not frame or len(frame) > MAX_FRAME:
        raise ValueError(f"a batch of {len(calls)} calls does not fit into one frame")
    return frame


def decode(frame: bytes, expected_calls: int) -> Done | Crash:
    """What a guest answered. Raises ProtocolError for anything malformed."""
    try:
        kind = frame[:1]
        if kind == b"X":
            _, signal, flags, address, stack_pointer = CRASH.unpack(frame)
            return Crash(signal, bool(flags & 1), address, stack_pointer, bool(flags & 2))
        if kind == b"D":
            _, failed, token = DONE.unpack_from(frame)
            body = frame[DONE.size :]
            if len(body) > expected_calls * VALUE.size or len(body) % VALUE.size:
                raise ProtocolError("an answer of the wrong length")
            values = tuple(_unpack_value(tag, data) for tag, data in VALUE.iter_unpack(body))
            if not failed and len(values) != expected_calls:
                raise ProtocolError("an answer with missing values")
            return Done(token, bool(failed), values)
    except struct.error as error:
        raise ProtocolError(f"a malformed frame ({error})") from error
    raise ProtocolError(f"a frame of unknown kind {kind!r}")


def decode_hello(frame: bytes) -> tuple[int, int]:
    """Where the guest mapped the two arenas. Raises ProtocolError for anything else."""
    try:
        kind, inputs, outputs = HELLO.unpack(frame)
    except struct.error as error:
        raise ProtocolError("no hello") from error
    if kind != b"H":
        raise ProtocolError("no hello")
    return inputs, outputs


def _pack_argument(argument: Argument) -> bytes:
    if argument is None:
        return _ARGUMENT.pack(b"n", bytes(8))
    if isinstance(argument, Pointer):
        return _ARGUMENT.pack(b"p", (argument.arena << 63 | argument.offset).to_bytes(8, "little"))
    if isinstance(argument, Handle):
        return _ARGUMENT.pack(b"h", argument.slot.to_bytes(8, "little"))
    if isinstance(argument, float):
        return _ARGUMENT.pack(b"d", struct.pack("<d", argument))
    if argument < 0:
        return _ARGUMENT.pack(b"q", argument.to_bytes(8, "little", signed=True))
    return _ARGUMENT.pack(b"Q", argument.to_bytes(8, "little"))


def _unpack_value(tag: bytes, data: bytes) -> Value:
    if tag == b"n":
        return None
    if tag == b"q":
        return int.from_bytes(data, "little", signed=True)
    if tag == b"Q":
        return int.from_bytes(data, "little")
    if tag == b"d":
        return float(struct.unpack("<d", data)[0])
    if tag == b"h":
        return Handle(int.from_bytes(data, "little"))
    raise ProtocolError(f"a value of unknown type {tag!r}")
