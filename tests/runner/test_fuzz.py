"""A guest may say whatever it likes: the grader's side has values, or GuestFailed, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from grader.runner import channel
from grader.runner.host import Guest, GuestFailed
from tests.conftest import needs
from tests.fixtures import tiny

pytestmark = needs("tier A")


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left() -> Iterator[None]:
    with tiny.leaving_nothing():
        yield


SAY = 70
U64 = st.integers(0, (1 << 64) - 1)
LIKELY = st.one_of(
    st.binary(max_size=80),
    st.builds(lambda token, failed: channel.DONE.pack(b"D", failed, token), U64, st.integers(0, 255)),
    st.builds(
        lambda token, tag, data: channel.DONE.pack(b"D", 0, token) + channel.VALUE.pack(tag, data),
        U64,
        st.sampled_from([b"q", b"Q", b"n", b"d", b"h", b"?"]),
        st.binary(min_size=8, max_size=8),
    ),
    st.builds(
        lambda kind, s, a, p: kind.pack(*((b"X", s, 1, a, p) if kind is channel.CRASH else (b"H", a, p))),
        st.sampled_from([channel.HELLO, channel.HELLO, channel.CRASH]),
        st.integers(0, 255),
        U64,
        U64,
    ),
    st.sampled_from([b"S", b""]),
)
FRAMES = st.lists(LIKELY, min_size=1, max_size=4)
QUIET = settings(max_examples=160, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(frames=FRAMES)
def test_during_a_call(tier, hostile_spec, act, frames: list[bytes]) -> None:
    """The frames come before the honest answer, whose token they cannot guess."""
    said = b"".join(len(frame).to_bytes(2, "little") + frame for frame in frames)
    said += b"\xff" * (-len(said) % 4 or 4)  # ends the list: a length that is too large
    with Guest(tier, hostile_spec) as guest:
        try:
            act(guest, SAY, given=said)
            act(guest, 0)
        except GuestFailed as failed:
            assert failed.kind in ("forged", "crashed") and failed.summary
        else:
            raise AssertionError("a frame that nobody asked for went unnoticed")


@QUIET
@given(frames=FRAMES)
@example(frames=[b"X"])  # a report of a crash that is too short
def test_while_it_is_loaded(tier, greeting_spec, act, frames: list[bytes]) -> None:
    """The first frame may pass as a hello; then the real one is a forgery."""
    said = (("FRAMES", ",".join(frame.hex() for frame in frames)),)
    with Guest(tier, replace(greeting_spec, environment=said)) as guest:
        try:
            act(guest, 0)
        except GuestFailed as failed:
            assert failed.kind in ("forged", "crashed", "exited") and failed.summary
        else:
            assert frames == [b""]  # nothing was said
