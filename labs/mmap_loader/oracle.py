"""The right answer: a writer and a reader of cdb files in plain Python, as the specification tells it."""

from __future__ import annotations

import errno
import itertools
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

HEADER = 2048
PAGE = 4096
BAD = -errno.EBADMSG

Record = tuple[bytes, bytes]
NOBODY: Mapping[bytes, bytes] = {}


def hash_of(key: bytes) -> int:
    """djb's hash, in 32 bits."""
    h = 5381
    for byte in key:
        h = ((h * 33) & 0xFFFFFFFF) ^ byte
    return h


def pair(first: int, second: int) -> bytes:
    """Two numbers as they lie in the file."""
    return struct.pack("<II", first & 0xFFFFFFFF, second & 0xFFFFFFFF)


@dataclass
class Layout:
    """Where `build` put things, for tests that damage them."""

    data: bytearray
    tables: dict[int, int] = field(default_factory=dict)
    """Number of a table that has slots -> its position."""
    records: list[int] = field(default_factory=list)

    def number(self, position: int) -> int:
        return int(struct.unpack_from("<I", self.data, position)[0])

    def put(self, position: int, number: int) -> Layout:
        """Overwrite one number."""
        struct.pack_into("<I", self.data, position, number & 0xFFFFFFFF)
        return self

    def slot_of(self, record: int) -> int:
        """Where the slot of the record with this number lies."""
        for table, position in self.tables.items():
            for slot in range(position, position + 8 * self.number(8 * table + 4), 8):
                if self.number(slot + 4) == self.records[record]:
                    return slot
        raise KeyError(record)


def twice(count: int) -> int:
    """How many slots writers give to a table of `count` records."""
    return 2 * count


def build(
    records: Iterable[Record],
    slots: Callable[[int], int] = twice,
    order: Sequence[int] = range(256),
    nowhere: int | None = None,
    strangers: Mapping[bytes, bytes] = NOBODY,
) -> Layout:
    """A file with these records, in this order. `slots(n)`: size of the table of n records; `order`: of the tables.

    Tables without records get no slots, and `nowhere` as their position (None: where they would be). `strangers`: keys
    whose slots have the hash of another key.
    """
    layout = Layout(bytearray(HEADER))
    members: dict[int, list[tuple[int, int]]] = {}
    for key, value in records:
        h = hash_of(strangers.get(key, key))
        members.setdefault(h % 256, []).append((h, len(layout.data)))
        layout.records.append(len(layout.data))
        layout.data += pair(len(key), len(value)) + key + value
    for table in order:
        entries = members.get(table, [])
        size = slots(len(entries)) if entries else 0
        position = len(layout.data) if size or nowhere is None else nowhere
        layout.data[8 * table : 8 * table + 8] = pair(position, size)
        if size:
            layout.tables[table] = position
        places = [(0, 0)] * size
        for h, record in entries:
            place = h // 256 % size
            while places[place][1]:
                place = (place + 1) % size
            places[place] = (h, record)
        layout.data += b"".join(pair(*place) for place in places)
    return layout


def in_whole_pages(records: Sequence[Record], pages: int, slots: Callable[[int], int] = twice) -> Layout:
    """The same, its last value made longer until the file is exactly `pages` pages long."""
    missing = pages * PAGE - len(build(records, slots).data)
    assert missing >= 0, "more pages are needed"
    key, value = records[-1]
    return build([*records[:-1], (key, value + bytes(missing))], slots)


@dataclass(frozen=True)
class Answer:
    """What a lookup gives: 1 with the value, 0, or BAD; and which bytes of the file it depends on."""

    status: int
    value: bytes = b""
    read: tuple[tuple[int, int], ...] = ()

    @property
    def end(self) -> int:
        """Where the record that was found ends; 0 when there is none."""
        return self.read[-1][1] if self.status == 1 and self.read else 0

    def depends_on(self, byte: int) -> bool:
        return any(start <= byte < end for start, end in self.read)


def look_up(data: bytes | bytearray, key: bytes, nth: int = 0) -> Answer:
    """Look a key up, by the book. The header's tables must be good (`header_is_good`)."""

    def number(position: int) -> int:
        read.append((position, position + 4))
        return int(struct.unpack_from("<I", data, position)[0])

    read: list[tuple[int, int]] = []
    h = hash_of(key)
    position, slots = number(h % 256 * 8), number(h % 256 * 8 + 4)
    for step in range(slots):
        slot = position + 8 * ((h // 256 + step) % slots)
        found, record = number(slot), number(slot + 4)
        if record == 0:
            break
        if found != h:
            continue
        if record < HEADER or record + 8 > len(data):
            return Answer(BAD, read=tuple(read))
        klen, vlen = number(record), number(record + 4)
        if record + 8 + klen + vlen > len(data):
            return Answer(BAD, read=tuple(read))
        start = record + 8 + klen
        read.append((record + 8, start))
        if bytes(data[record + 8 : start]) == key:
            if nth == 0:
                read.append((start, start + vlen))
                return Answer(1, bytes(data[start : start + vlen]), tuple(read))
            nth -= 1
    return Answer(0, read=tuple(read))


def first_table(data: bytes | bytearray) -> int:
    """Where the first table with slots begins; the header's end when there is none."""
    return min(
        (position for position, slots in struct.iter_unpack("<II", data[:HEADER]) if slots), default=HEADER
    )


def header_is_good(data: bytes | bytearray) -> bool:
    """Does every table with slots lie between the header and the end?"""
    return len(data) >= HEADER and all(
        not slots or (position >= HEADER and position + 8 * slots <= len(data))
        for position, slots in struct.iter_unpack("<II", data[:HEADER])
    )


def walk(data: bytes | bytearray) -> tuple[int, list[Record]]:
    """All records before the first table, and 0; or those before the first damaged one, and BAD."""
    end = first_table(data)
    found: list[Record] = []
    position = HEADER
    while position < end:
        if position + 8 > end:
            return BAD, found
        klen, vlen = struct.unpack_from("<II", data, position)
        if position + 8 + klen + vlen > end:
            return BAD, found
        start = position + 8 + klen
        found.append((bytes(data[position + 8 : start]), bytes(data[start : start + vlen])))
        position = start + vlen
    return 0, found


def same_hash(length: int = 8) -> list[bytes]:
    """Several keys of this length that have one hash, found by trying."""
    found: dict[int, list[bytes]] = {}
    for number in range(1 << 15):
        key = number.to_bytes(3, "little")
        found.setdefault(hash_of(key), []).append(key + bytes(length - 3))
    return max(found.values(), key=len)


def alike() -> list[bytes]:
    """Two keys of 24 bytes with one hash that differ in their second eight bytes only."""
    keys = [b"shared__" + middle + bytes(14) for middle in (b"\x01\x01", b"\x00\x20")]
    assert hash_of(keys[0]) == hash_of(keys[1])
    return keys


def keys_where(wanted: Callable[[int], bool], count: int, prefix: bytes = b"") -> list[bytes]:
    """Keys whose hash is as wanted."""
    numbered = (prefix + str(number).encode() for number in itertools.count())
    return list(itertools.islice((key for key in numbered if wanted(hash_of(key))), count))
