"""The wires between the runners of a group: stream sockets whose far ends the grader holds, so that it sees every byte.

Rank i has one socket for each peer j. What it writes there reaches a relay in the grader, which counts it, perhaps
keeps it for a while, and writes it to j's socket for i. So the bytes that a rank sends are counted and not claimed, and
a wire can be slow, short of room, or cut when its rank has said a certain number of bytes.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_ROOM, _PIECE = 1 << 20, 1 << 16
_SLICE_S = 0.002
"""A wire with a rate takes what it carries in this time as one piece."""


@dataclass(frozen=True)
class Wire:
    """How every wire of a group behaves: seconds on the way, bytes a second (None: any), socket buffers in bytes.

    `kept` bytes at most are on the way; then the sender's socket fills up.
    """

    latency_s: float = 0.0
    bytes_per_s: float | None = None
    buffer_bytes: int | None = None
    kept: int = _ROOM


PLAIN = Wire()


@dataclass
class _Lane:
    """One direction between two ranks."""

    source: socket.socket
    target: socket.socket
    sender: int
    receiver: int
    waiting: collections.deque[tuple[float, memoryview]] = field(default_factory=collections.deque)
    size: int = 0
    free_at: float = 0.0
    ended: bool = False


class Relay:
    """Wires between `world` ranks, carried by a thread of the grader. Close it when the group is gone.

    `cut` maps a rank to the bytes after which its wires end; then `on_cut(rank)` is called in the relay's thread.
    """

    def __init__(
        self,
        world: int,
        wire: Wire = PLAIN,
        cut: Mapping[int, int] | None = None,
        on_cut: Callable[[int], None] = lambda rank: None,
    ) -> None:
        self.sent: npt.NDArray[np.int64] = np.zeros((world, world), np.int64)
        """Bytes that rank i has sent to rank j so far, shape (world, world)."""
        self._wire, self._cut, self._on_cut = wire, dict(cut or {}), on_cut
        self._theirs: dict[tuple[int, int], socket.socket] = {}
        ours: dict[tuple[int, int], socket.socket] = {}
        with contextlib.ExitStack() as undo:
            for rank in range(world):
                for peer in range(world):
                    if rank != peer:
                        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
                        for end in pair:
                            undo.callback(end.close)
                            end.setblocking(False)
                            _set_buffers(end, wire.buffer_bytes)
                        ours[rank, peer], self._theirs[rank, peer] = pair
            self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)[::-1]
            undo.pop_all()
        self._lanes = [_Lane(ours[i, j], ours[j, i], i, j) for i, j in ours]
        self._closing = False
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def descriptors(self, rank: int) -> tuple[int, ...]:
        """The sockets of a rank, by peer; -1 for itself. Valid until `start`."""
        return tuple(
            -1 if peer == rank else self._theirs[rank, peer].fileno() for peer in range(len(self.sent))
        )

    def start(self) -> None:
        """Begin to carry; the runners have inherited their ends, and the grader's copies of these are closed."""
        for end in self._theirs.values():
            end.close()
        self._theirs.clear()
        self._thread.start()

    def quiet(self) -> bool:
        """Has every byte that was sent been read by its receiver? Ask while the ranks are frozen."""
        if any(lane.waiting or lane.ended for lane in self._lanes):
            return False
        return not any(_unread(end) for lane in self._lanes for end in (lane.source, lane.target))

    def cut(self, rank: int) -> None:
        """End the wires of a rank, as if it had died: nothing that it sends from now on arrives."""
        self._cut[rank] = 0
        os.write(self._wake, b"x")

    def close(self) -> None:
        """Stop the thread and close every socket. May be called twice."""
        if self._closing:
            return
        self._closing = True
        if self._thread.ident is not None:
            os.write(self._wake, b"x")
            self._thread.join()
        for end in (*self._theirs.values(), *(lane.source for lane in self._lanes)):
            end.close()
        os.close(self._wake)
        os.close(self._woken)

    # --- In the thread ----------------------------------------------------------------------------------------

    def _carry(self) -> None:
        poll = select.epoll()
        interest: dict[int, int] = {}
        try:
            while not self._closing:
                now = time.monotonic()
                wanted, due = self._wanted(now)
                for fd, events in wanted.items():
                    if interest.get(fd) != events:
                        (poll.modify if fd in interest else poll.register)(fd, events)
                for fd in interest.keys() - wanted.keys():
                    with contextlib.suppress(OSError):  # closed meanwhile
                        poll.unregister(fd)
                interest = wanted
                ready = {fd for fd, _ in poll.poll(None if due is None else max(0.0, due - now))}
                if self._woken in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._woken, 64)
                self._move(ready)
        finally:
            poll.close()

    def _wanted(self, now: float) -> tuple[dict[int, int], float | None]:
        """Which descriptors to watch for what, and when the next piece is due."""
        wanted, due = {self._woken: select.EPOLLIN}, []
        for lane in self._lanes:
            if lane.ended and not lane.waiting:
                continue
            if not lane.ended and lane.size < self._wire.kept and lane.free_at <= now:
                wanted[lane.source.fileno()] = wanted.get(lane.source.fileno(), 0) | select.EPOLLIN
            elif not lane.ended and lane.free_at > now:
                due.append(lane.free_at)
            if lane.waiting and lane.waiting[0][0] <= now:
                wanted[lane.target.fileno()] = wanted.get(lane.target.fileno(), 0) | select.EPOLLOUT
            elif lane.waiting:
                due.append(lane.waiting[0][0])
        return wanted, min(due, default=None)

    def _move(self, ready: set[int]) -> None:
        for rank, limit in list(self._cut.items()):
            if limit <= 0:
                self._end(rank)
        for lane in self._lanes:
            if not lane.ended and lane.source.fileno() in ready:
                self._take(lane)
            self._give(lane)
            if lane.ended and not lane.waiting and lane.target.fileno() >= 0:
                with contextlib.suppress(OSError):
                    lane.target.shutdown(socket.SHUT_RDWR)  # the peer sees an end, and may not write either

    def _take(self, lane: _Lane) -> None:
        rate, now = self._wire.bytes_per_s, time.monotonic()
        if lane.free_at > now or lane.size >= self._wire.kept:
            return
        most = _PIECE if rate is None else max(1, min(_PIECE, int(rate * _SLICE_S)))
        left = self._cut.get(lane.sender)
        if left is not None:
            most = max(1, min(most, left))
        try:
            data = lane.source.recv(most)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            lane.ended = True
            return
        self.sent[lane.sender, lane.receiver] += len(data)
        if rate is not None:
            lane.free_at = max(now, lane.free_at) + len(data) / rate
        lane.waiting.append((max(now, lane.free_at) + self._wire.latency_s, memoryview(data)))
        lane.size += len(data)
        if left is not None:
            self._cut[lane.sender] = left - len(data)
            if self._cut[lane.sender] <= 0:
                self._end(lane.sender)

    def _give(self, lane: _Lane) -> None:
        now = time.monotonic()
        while lane.waiting and lane.waiting[0][0] <= now:
            due, piece = lane.waiting[0]
            try:
                done = lane.target.send(piece)
            except BlockingIOError:
                return
            except OSError:  # nobody reads any more
                lane.waiting.clear()
                lane.size = 0
                lane.ended = True
                return
            lane.size -= done
            if done < len(piece):
                lane.waiting[0] = (due, piece[done:])
                return
            lane.waiting.popleft()

    def _end(self, rank: int) -> None:
        """No lane to or from this rank carries anything that is not on its way already."""
        if all(lane.ended for lane in self._lanes if rank in (lane.sender, lane.receiver)):
            return
        for lane in self._lanes:
            if rank in (lane.sender, lane.receiver):
                lane.ended = True
                if lane.receiver == rank:
                    lane.waiting.clear()
                    lane.size = 0
        self._on_cut(rank)


def _unread(end: socket.socket) -> bool:
    """Is there something in either queue of this socket: not taken from it, or not yet read at its other end?"""
    answers = [fcntl.ioctl(end, request, bytes(4)) for request in (termios.TIOCOUTQ, termios.FIONREAD)]
    return any(struct.unpack("i", answer)[0] for answer in answers)


def _set_buffers(end: socket.socket, size: int | None) -> None:
    if size is not None:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
