"""The submission as this lab's tests use it: files in a folder that it can read, databases, and checked lookups."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grader.runner.channel import Handle
from grader.testing import CheckFailed, Library, check
from labs.mmap_loader.oracle import BAD, Answer, Layout, Record

ANSWER = np.dtype(
    [("status", np.int32), ("touched", np.int32), ("length", np.uint64), ("address", np.uint64)], align=True
)
"""`drive_answer` of driver.h."""

Bytes = npt.NDArray[np.uint8]


def packed(keys: Sequence[bytes]) -> tuple[Bytes, npt.NDArray[np.uint32]]:
    """Keys back to back, and where each begins (and the last one ends)."""
    starts = np.zeros(len(keys) + 1, np.uint32)
    np.cumsum([len(key) for key in keys], out=starts[1:])
    return np.frombuffer(b"".join(keys), np.uint8), starts


def named(status: object) -> str:
    """-74 -> '-EBADMSG (-74)'."""
    known = isinstance(status, int) and errno.errorcode.get(-status)
    return f"-{known} ({status})" if known else str(status)


def shown(data: bytes, limit: int = 24) -> str:
    """Bytes as text: the beginning and the length."""
    return f"{data[:limit]!r}" + (f"... ({len(data)} bytes)" if len(data) > limit else "")


@dataclass
class Loader:
    """`loader.open(layout)` gives a Database; `loader.status(path)` says what cdbm_open answers."""

    library: Library
    folder: Path
    _files: int = 0
    _open: tuple[Database, ...] = ()

    def file(self, content: bytes | bytearray | Layout) -> Path:
        """A new file with this content."""
        self._files += 1
        path = self.folder / f"{self._files}.cdb"
        path.write_bytes(content.data if isinstance(content, Layout) else content)
        path.chmod(0o644)
        return path

    def status(self, what: Path | bytes | bytearray | Layout, flags: int = 0, case: str = "") -> int:
        """What cdbm_open returns; a database that it opens is closed again."""
        status, handle = self._try(what, flags, case)
        if handle is not None:
            self.library.call("cdbm_close", handle, case=case)
        return status

    def open(self, what: Path | bytes | bytearray | Layout, flags: int = 0, case: str = "") -> Database:
        """Open a good file."""
        status, handle = self._try(what, flags, case)
        if status != 0 or handle is None:
            raise CheckFailed("a good file was not opened", case=case, expected=0, got=named(status))
        database = Database(self.library, handle, case)
        self._open += (database,)
        return database

    def close(self) -> None:
        """Close what tests left open."""
        for database in self._open:
            database.close()

    def _try(
        self, what: Path | bytes | bytearray | Layout, flags: int, case: str
    ) -> tuple[int, Handle | None]:
        path = what if isinstance(what, Path) else self.file(what)
        status = np.full(1, 12345, np.int32)
        handle = self.library.call("drive_open", str(path), flags, status, case=case)
        got = int(status[0])
        if got == -errno.ENOSYS:
            raise CheckFailed("cdbm_open is not written yet: it returned -ENOSYS", case=case)
        check(got <= 0, "cdbm_open returned neither 0 nor a negative errno", case=case, got=got)
        is_set = isinstance(handle, Handle)
        words = "cdbm_open set *out, but failed" if is_set else "cdbm_open returned 0, but *out is NULL"
        check(is_set == (got == 0), words, case=case, got=named(got))
        return got, handle if isinstance(handle, Handle) else None


@dataclass
class Database:
    """An open database of the submission."""

    library: Library
    handle: Handle
    case: str = ""
    _is_open: bool = True

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.library.call("cdbm_close", self.handle, case=self.case)

    def ask(
        self, keys: Sequence[bytes], nth: Sequence[int] | None = None, room: int = 64
    ) -> tuple[npt.NDArray[np.void], Bytes]:
        """(answers, values: at most `room` bytes of each) of cdbm_get_nth, or of cdbm_get where `nth` is negative."""
        flat, starts = packed(keys)
        answers = np.zeros(len(keys), ANSWER)
        values = np.zeros((len(keys), room), np.uint8)
        numbers = np.full(len(keys), -1, np.int64) if nth is None else np.array(nth, np.int64)
        case = f"{self.case}: {shown(keys[0])}" if len(keys) == 1 else self.case
        self.library.call(
            *("drive_look_up", self.handle, len(keys), flat, starts, numbers, answers, values, room),
            case=case,
        )
        return answers, values

    def expect(
        self, keys: Sequence[bytes], wanted: Sequence[Answer], nth: Sequence[int] | None = None, why: str = ""
    ) -> None:
        """Look all keys up at once and compare with the right answers."""
        room = max([64, *(len(answer.value) for answer in wanted)])
        answers, values = self.ask(keys, nth, room)
        for index, (key, right) in enumerate(zip(keys, wanted, strict=True)):
            got, value = answers[index], values[index].tobytes()
            number = "" if nth is None or nth[index] < 0 else f", number {nth[index]}"
            case = f"{self.case}: key {shown(key)}{number}"
            verify(int(got["status"]), int(got["length"]), value, bool(got["touched"]), right, case, why)

    def expect_records(self, records: Sequence[Record], why: str = "") -> None:
        """Every key gives its first value."""
        first: dict[bytes, bytes] = {}
        for key, value in records:
            first.setdefault(key, value)
        self.expect(list(first), [Answer(1, value) for value in first.values()], why=why)

    def expect_absent(self, keys: Sequence[bytes], why: str = "") -> None:
        """None of the keys is there."""
        self.expect(keys, [Answer(0)] * len(keys), why=why)

    def walk(self, room: int = 1 << 20, stop_after: int = 0, answer: int = 0) -> tuple[int, int, bytes]:
        """(what cdbm_foreach returned, how many records it showed, those as they lie in the file)."""
        count, used, records = np.zeros(1, np.uint64), np.zeros(1, np.uint64), np.zeros(room, np.uint8)
        status = self.library.call(
            *("drive_walk", self.handle, stop_after, answer, count, records, room, used), case=self.case
        )
        return int(str(status)), int(count[0]), records[: int(used[0])].tobytes()

    def count(self) -> tuple[int, int]:
        """(what cdbm_count returned, the count)."""
        count = np.full(1, 999_999_999, np.uint64)
        status = self.library.call("cdbm_count", self.handle, count, case=self.case)
        return int(str(status)), int(count[0])

    def peek(self, address: int, size: int) -> bytes:
        """Bytes at an address that a lookup gave."""
        out = np.zeros(size, np.uint8)
        self.library.call("drive_peek", address, size, out, case=f"{self.case}: reading the value")
        return out.tobytes()


def verify(
    status: int, length: int, value: bytes, touched: bool, right: Answer, case: str, why: str = ""
) -> None:
    """One lookup against the right answer. `value` may be longer than `length`."""
    if status == -errno.ENOSYS:
        raise CheckFailed("cdbm_get is not written yet: it returned -ENOSYS", case=case)
    names = {1: "1, found", 0: "0, absent", BAD: "-EBADMSG"}
    check(
        status == right.status,
        "the wrong answer",
        case=case,
        expected=names[right.status] + (f": {shown(right.value)}" if right.status == 1 else ""),
        got=names.get(status, named(status)),
        why=why,
    )
    check(not touched, "*val was changed, but nothing was found", case=case, why=why)
    if status == 1:
        got = value[:length]
        same = length == len(right.value) and got == right.value
        expected, found = shown(right.value), f"{length} bytes: {shown(got)}"
        check(same, "the wrong value", case=case, expected=expected, got=found, why=why)
