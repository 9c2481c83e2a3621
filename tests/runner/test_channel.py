"""Frames: what is sent arrives, and nothing that arrives can do more than be refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.runner import channel
from grader.runner.channel import (
    Call,
    Crash,
    Done,
    Handle,
    Pointer,
    ProtocolError,
    Value,
    Window,
    decode,
    encode_batch,
)

U64 = st.integers(0, (1 << 64) - 1)
VALUES = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False),
    st.builds(Handle, U64),
)


def done(token: int, values: tuple[Value, ...], failed: bool = False) -> bytes:
    """An honest guest's answer."""
    return channel.DONE.pack(b"D", failed, token) + b"".join(packed(value) for value in values)


def packed(value: Value) -> bytes:
    if value is None:
        return channel.VALUE.pack(b"n", bytes(8))
    if isinstance(value, Handle):
        return channel.VALUE.pack(b"h", value.slot.to_bytes(8, "little"))
    if isinstance(value, float):
        return channel.VALUE.pack(b"d", struct.pack("<d", value))
    kind = b"q" if value < 1 << 63 else b"Q"
    return channel.VALUE.pack(kind, value.to_bytes(8, "little", signed=value < 1 << 63))


@given(token=U64, values=st.lists(VALUES, max_size=20))
def test_an_answer_says_what_the_functions_returned(token: int, values: list[Value]) -> None:
    assert decode(done(token, tuple(values)), len(values)) == Done(token, False, tuple(values))


@given(signal=st.integers(0, 255), is_write=st.booleans(), address=U64, stack=U64)
def test_a_word_about_a_crash(signal: int, is_write: bool, address: int, stack: int) -> None:
    frame = channel.CRASH.pack(b"X", signal, is_write, address, stack)
    assert decode(frame, 3) == Crash(signal, is_write, address, stack)


@given(inputs=U64, outputs=U64)
def test_a_hello_tells_the_addresses(inputs: int, outputs: int) -> None:
    assert channel.decode_hello(channel.HELLO.pack(b"H", inputs, outputs)) == (inputs, outputs)


HONEST = st.one_of(
    st.builds(done, U64, st.lists(VALUES, max_size=4).map(tuple), st.booleans()),
    st.builds(lambda s, a, p: channel.CRASH.pack(b"X", s, 1, a, p), st.integers(0, 255), U64, U64),
    st.builds(lambda a, b: channel.HELLO.pack(b"H", a, b), U64, U64),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An honest frame that was cut, lengthened, or had bits turned over; or anything at all."""
    frame = draw(st.one_of(HONEST, st.binary(max_size=200)))
    match draw(st.sampled_from(["cut", "lengthened", "flipped", "as it is"])):
        case "cut":
            frame = frame[: draw(st.integers(0, len(frame)))]
        case "lengthened":
            frame += draw(st.binary(min_size=1, max_size=64))
        case "flipped":
            changed = bytearray(frame)
            for _ in range(draw(st.integers(1, 8)) if frame else 0):
                changed[draw(st.integers(0, len(frame) - 1))] ^= 1 << draw(st.integers(0, 7))
            frame = bytes(changed)
    return frame


@settings(max_examples=1000, deadline=None)
@given(frame=damaged(), calls=st.integers(0, 6))
def test_whatever_arrives_is_an_answer_or_refused(frame: bytes, calls: int) -> None:
    try:
        answer = decode(frame, calls)
    except ProtocolError as error:
        assert str(error)
    else:
        assert isinstance(answer, (Done, Crash))
        if isinstance(answer, Done):
            assert 0 <= answer.token < 1 << 64
            assert answer.failed or len(answer.values) == calls
            assert all(value is None or isinstance(value, (int, float, Handle)) for value in answer.values)


@settings(max_examples=400, deadline=None)
@given(frame=damaged())
def test_whatever_arrives_first_is_a_hello_or_refused(frame: bytes) -> None:
    try:
        addresses = channel.decode_hello(frame)
    except ProtocolError:
        return
    assert frame[:1] == b"H" and len(frame) == channel.HELLO.size
    assert all(0 <= address < 1 << 64 for address in addresses)


def test_every_shorter_and_longer_frame_is_refused() -> None:
    frame = done(7, (1, 2.0))
    for length in range(len(frame)):
        with pytest.raises(ProtocolError):
            decode(frame[:length], 2)
    for extra in range(1, 40):
        with pytest.raises(ProtocolError):
            decode(frame + bytes(extra), 2)


def test_too_many_and_too_few_values_are_refused() -> None:
    for count in (0, 1, 3):
        with pytest.raises(ProtocolError):
            decode(done(1, (5,) * count), 2)
    assert decode(done(1, (), failed=True), 2) == Done(1, True, ())


ARGUMENTS = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False),
    st.builds(Pointer, st.sampled_from((0, 1)), st.integers(0, (1 << 62))),
    st.builds(Handle, st.integers(0, 1000)),
)


@given(
    token=U64,
    windows=st.one_of(st.none(), st.lists(st.builds(Window, st.sampled_from((0, 1)), U64, U64), max_size=5)),
    calls=st.lists(
        st.builds(Call, st.integers(0, 100), st.lists(ARGUMENTS, max_size=12).map(tuple)),
        min_size=1,
        max_size=5,
    ),
)
def test_a_batch_holds_its_operations_in_order(
    token: int, windows: list[Window] | None, calls: list[Call]
) -> None:
    """Read again as guest.py reads it."""
    frame = encode_batch(token, windows, calls)
    kind, count, sent_token = struct.unpack_from("<cxHxxxxQ", frame)
    assert (kind, sent_token) == (b"B", token)
    position, found_windows, found_calls = 16, [], []
    for _ in range(count):
        match frame[position : position + 1]:
            case b"P":
                position += 1
            case b"W":
                found_windows.append(Window(*struct.unpack_from("<cBQQ", frame, position)[1:]))
                position += 18
            case b"C":
                _, index, arity = struct.unpack_from("<cHB", frame, position)
                pairs = list(struct.iter_unpack("<c8s", frame[position + 4 : position + 4 + 9 * arity]))
                found_calls.append((index, [argument(tag, data) for tag, data in pairs]))
                position += 4 + 9 * arity
            case other:
                pytest.fail(f"an operation {other!r}")
    assert position == len(frame)
    assert found_windows == (windows or [])
    assert found_calls == [(call.function, list(call.arguments)) for call in calls]


def argument(tag: bytes, data: bytes) -> object:
    number = int.from_bytes(data, "little", signed=tag == b"q")
    match tag:
        case b"n":
            return None
        case b"p":
            return Pointer(1 if number >> 63 else 0, number & ~(1 << 63))
        case b"h":
            return Handle(number)
        case b"d":
            return struct.unpack("<d", data)[0]
    return number


@pytest.mark.parametrize("count", [40_000, 70_000])
def test_a_batch_that_is_too_large_is_refused_in_words(count: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode_batch(1, None, [Call(0, ())] * count)
