"""What a guest sends: any frame is an answer or a ProtocolError, and what the grader sends has one meaning."""

from __future__ import annotations

from grader.runner import channel
from grader.runner.channel import Crash, Done, Handle, ProtocolError
from tests.fuzz.inputs import Bytes

_VALUES = (type(None), int, float, Handle)


def one_input(data: bytes) -> None:
    """The first byte says how many values are awaited; the rest is the frame."""
    source = Bytes(data)
    awaited, frame = source.number(), source.rest()
    try:
        inputs, outputs = channel.decode_hello(frame)
        assert frame[:1] == b"H" and 0 <= inputs < 1 << 64 and 0 <= outputs < 1 << 64
    except ProtocolError:
        pass
    try:
        answer = channel.decode(frame, awaited)
    except ProtocolError:
        return
    if isinstance(answer, Crash):
        assert frame[:1] == b"X" and len(frame) == channel.CRASH.size
        return
    assert isinstance(answer, Done) and len(answer.values) <= awaited
    assert answer.failed or len(answer.values) == awaited
    assert all(isinstance(value, _VALUES) for value in answer.values)
