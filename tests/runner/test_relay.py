"""The wires between ranks: every byte is counted, delayed, held up or cut as asked."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from grader.runner.relay import Relay, Wire
from tests.fixtures import tiny


@contextmanager
def wires(
    world: int, wire: Wire | None = None, **how: object
) -> Iterator[tuple[Relay, dict[tuple[int, int], socket.socket]]]:
    """A relay, and every rank's ends of its wires by (rank, peer)."""
    relay = Relay(world, wire or Wire(), **how)  # type: ignore[arg-type]
    ends = {}
    for rank in range(world):
        for peer, fd in enumerate(relay.descriptors(rank)):
            if fd >= 0:
                ends[rank, peer] = socket.socket(fileno=os.dup(fd))
                ends[rank, peer].settimeout(5.0)
    relay.start()
    try:
        yield relay, ends
    finally:
        for end in ends.values():
            end.close()
        relay.close()


def receive(end: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = end.recv(count - len(data))
        if not piece:
            break
        data += piece
    return data


def test_what_one_rank_sends_its_peer_receives() -> None:
    with wires(3) as (_, ends):
        ends[0, 2].sendall(b"from 0 to 2")
        ends[2, 0].sendall(b"back")
        assert receive(ends[2, 0], 11) == b"from 0 to 2"
        assert receive(ends[0, 2], 4) == b"back"


def test_bytes_are_counted_by_sender_and_receiver() -> None:
    with wires(3) as (relay, ends):
        ends[0, 1].sendall(bytes(100_000))
        receive(ends[1, 0], 100_000)
        assert relay.sent.tolist() == [[0, 100_000, 0], [0, 0, 0], [0, 0, 0]]


def test_latency_is_added_once_and_not_for_every_piece() -> None:
    """Three pieces: once for each would be three seconds."""
    with wires(2, Wire(latency_s=1.0)) as (_, ends):
        start = time.monotonic()
        ends[0, 1].sendall(bytes(150_000))
        receive(ends[1, 0], 150_000)
        assert 1.0 <= time.monotonic() - start < 3.0


def test_a_rate_is_kept() -> None:
    with wires(2, Wire(bytes_per_s=1e6)) as (_, ends):
        start = time.monotonic()
        ends[0, 1].sendall(bytes(100_000))
        receive(ends[1, 0], 100_000)
        assert time.monotonic() - start >= 0.09


def test_small_wires_fill_up() -> None:
    with wires(2, Wire(buffer_bytes=4096, kept=4096)) as (_, ends):
        ends[0, 1].setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            for _ in range(1000):
                sent += ends[0, 1].send(bytes(1000))
                time.sleep(0.001)
        assert sent < 100_000


def test_a_rank_that_ends_is_noticed_by_its_peers_after_its_last_byte() -> None:
    with wires(3) as (_, ends):
        ends[1, 0].sendall(b"last words")
        ends[1, 0].close()
        assert receive(ends[0, 1], 100) == b"last words"
        with pytest.raises(BrokenPipeError):
            for _ in range(100):
                ends[0, 1].send(b"x")
                time.sleep(0.01)


def test_a_wire_is_cut_after_so_many_bytes() -> None:
    told: list[int] = []
    with wires(2, cut={0: 1000}, on_cut=told.append) as (relay, ends):
        ends[0, 1].sendall(bytes(5000))
        assert receive(ends[1, 0], 5000) == bytes(1000)
        assert told == [0]
        assert relay.sent[0, 1] == 1000


def test_quiet_means_that_everything_has_been_read() -> None:
    with wires(2) as (relay, ends):
        assert relay.quiet()
        ends[0, 1].sendall(b"unread")
        assert tiny.eventually(lambda: relay.sent[0, 1] == 6)
        assert not relay.quiet()
        receive(ends[1, 0], 6)
        assert tiny.eventually(relay.quiet)


def test_nothing_is_left_of_it() -> None:
    with tiny.leaving_nothing():
        with wires(4) as (relay, ends):
            ends[0, 1].sendall(b"unread")
            relay.cut(2)
        relay.close()
