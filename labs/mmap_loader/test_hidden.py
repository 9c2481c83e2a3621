"""Hidden tests: facts about a correct, safe and well-behaved loader. Each catches at least one known mistake."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from grader.testing import CheckFailed, NotJudged, category, check, must, points, variant
from labs.mmap_loader import oracle
from labs.mmap_loader.loader import ANSWER, named, packed, shown, verify
from labs.mmap_loader.oracle import BAD, HEADER, PAGE, Answer, Layout, build, hash_of, pair

pytestmark = category("correctness")

POPULATE, VERIFY = 1, 2
GIB = 1 << 30


def random_records(rng: np.random.Generator, count: int, longest: int = 40) -> list[tuple[bytes, bytes]]:
    """Different random keys of 4 bytes and more, with random values."""
    keys = {
        i.to_bytes(4, "little") + rng.bytes(rng.integers(0, longest)) for i in rng.permutation(count).tolist()
    }
    return [(key, rng.bytes(rng.integers(0, longest))) for key in keys]


def absent_keys(rng: np.random.Generator, records: list[tuple[bytes, bytes]], count: int) -> list[bytes]:
    """Random keys that are not in the file: other numbers first."""
    return [(len(records) + i).to_bytes(4, "little") + rng.bytes(8) for i in range(count)]


# --- Files of real writers ------------------------------------------------------------------------------------------


@must
@points(3)
def test_files_of_tinycdb(loader, rng):
    """A hundred thousand records written by the program cdb; every key is looked up, and as many that are not there."""
    records = random_records(rng, 100_000)
    database = loader.open(written_by_tinycdb(records, loader.folder / "tiny.cdb"), case="written by tinycdb")
    database.expect_records(records)
    database.expect_absent(absent_keys(rng, records, 50_000))


@points(2)
def test_files_of_pure_cdb(loader, rng):
    """Another writer, the same format."""
    try:
        from cdblib import Writer
    except ImportError:
        raise NotJudged("needs pure-cdb: pip install pure-cdb") from None
    records = [*random_records(rng, 3000), (b"", b"of the empty key"), (b"\0" * 9, b"")]
    path = loader.folder / "pure.cdb"
    with path.open("wb") as file, Writer(file) as writer:
        for key, value in records:
            writer.put(key, value)
    path.chmod(0o644)
    database = loader.open(path, case="written by pure-cdb")
    database.expect_records(records)
    database.expect_absent(absent_keys(rng, records, 3000))
    same("cdbm_count", database.count(), (0, len(records)), "written by pure-cdb")


# --- Keys and values ------------------------------------------------------------------------------------------------


@points(2)
def test_empty_keys_and_values(loader):
    """Length 0 is a length: the empty key may be there, an empty value is found, and its pointer is not NULL."""
    records = [(b"", b"value of nothing"), (b"nothing", b""), (b"last", b"")]
    database = loader.open(build(records), case="empty keys and values")
    database.expect_records(records)
    for answer in database.ask([b"nothing", b"last"])[0]:
        check(answer["address"] != 0, "the pointer of an empty value is NULL", case=database.case)
    loader.open(build(records[1:]), case="no empty key").expect_absent([b""])


@points(2)
def test_keys_of_any_bytes(loader, library):
    """Zeros do not end a key, and 0xff counts as 255: a key is bytes, not text, and a byte has no sign."""
    keys = [bytes([byte]) for byte in range(256)] + [b"a\0b", b"a\0c", b"a\0", b"\xff" * 30, b"\x80\0\x80"]
    for key in (b"\xff", b"\x80\x80", b"a\0b"):
        got = library.call("cdbm_hash", key, len(key), case=f"cdbm_hash of {key!r}")
        check(got == hash_of(key), "the wrong hash", case=f"{key!r}", expected=hash_of(key), got=got)
    records = [(key, b"value of " + key) for key in keys]
    loader.open(build(records), case="keys of any bytes").expect_records(records)


@points(2)
def test_keys_with_one_hash(loader):
    """Several keys can have the same hash: only the key's own bytes decide."""
    keys = oracle.same_hash()
    records = [(key, str(index).encode()) for index, key in enumerate(keys[1:])]
    database = loader.open(build(records), case=f"keys with the hash {hash_of(keys[0]):#x}")
    database.expect_records(records)
    database.expect_absent(keys[:1], why="A slot with the right hash may belong to another key.")
    alike = oracle.alike()
    for there, absent in (alike, alike[::-1]):
        database = loader.open(
            build([(there, b"value")]), case="two keys that begin and end with the same bytes"
        )
        database.expect_records([(there, b"value")])
        database.expect_absent([absent], why="Compare all bytes of a key, not only its ends.")


@points(1)
def test_keys_that_begin_like_others(loader):
    """A key that begins with the other one's bytes is another key, even where its hash is the same."""
    strangers = {b"key": b"key, and more", b"a long key": b"a lo"}
    layout = build([(b"key", b"short"), (b"a long key", b"long")], strangers=strangers)
    database = loader.open(layout, case="slots of other keys that begin alike")
    database.expect_absent([b"key, and more", b"a lo"])


@points(1)
def test_duplicates_among_others(loader, rng):
    """Records of one key, with others and with the same hash in between: counted in the order of the file."""
    keys = [*oracle.same_hash()[:2], b"third"]
    records = [(keys[rng.integers(3)], str(number).encode()) for number in range(60)]
    database = loader.open(build(records), case="60 records of three keys")
    for key in keys:
        answers = [Answer(1, value) for other, value in records if other == key] + [Answer(0)] * 2
        database.expect([key] * len(answers), answers, nth=range(len(answers)))


@points(2)
def test_long_keys_and_values(loader):
    """A key of 70,000 bytes, a value of 100 MiB: lengths have 32 bits, and nothing is copied."""
    key, size = b"k" * 70_000, 100 << 20
    path = sparse(loader.folder / "long.cdb", [(key, size, b"the end"), (b"next", 10, b"of two")])
    database = loader.open(path, case="a value of 100 MiB")
    database.expect_absent([key[:-1]])
    answers, _ = database.ask([key, b"next"])
    same("cdbm_get", answers["status"].tolist(), [1, 1], database.case)
    same("the length", answers["length"].tolist(), [size, 10], database.case)
    end = database.peek(int(answers[0]["address"]) + size - 7, 7)
    check(end == b"the end", "the wrong value", case=database.case, expected=b"the end", got=end)


# --- Tables ---------------------------------------------------------------------------------------------------------


@points(1)
def test_only_the_last_table(loader, rng):
    """Table 255 alone has slots and 254 others before it have none: the header has 256 pairs, not 255."""
    keys = oracle.keys_where(lambda h: h % 256 == 255, 20)
    records = [(key, key[::-1]) for key in keys[:12]]
    for nowhere in (None, 0):
        layout = build(records, nowhere=nowhere)
        database = loader.open(layout, VERIFY, case="12 keys, all of them in table 255")
        database.expect_records(records)
        database.expect_absent([*keys[12:], *absent_keys(rng, records, 300)])
        same("cdbm_count", database.count(), (0, 12), database.case)
        same("cdbm_foreach", database.walk()[:2], (0, 12), database.case)


@points(1)
def test_all_records_in_one_table(loader):
    """Keys whose hash ends alike share a table, and the other 255 are empty."""
    keys = oracle.keys_where(lambda h: h % 256 == 77, 300)
    records = [(key, key[::-1]) for key in keys[:200]]
    database = loader.open(build(records), case="200 keys in table 77")
    database.expect_records(records)
    database.expect_absent(keys[200:])


@points(2)
def test_search_goes_on_at_the_first_slot(loader):
    """Behind the last slot comes the first one."""
    keys = oracle.keys_where(lambda h: h % 256 == 5 and h // 256 % 12 >= 10, 7)
    records = [(key, key) for key in keys[:6]]  # six records have twelve slots: these begin at the last two
    database = loader.open(build(records), case="six keys that all begin at the last two of twelve slots")
    database.expect_records(records)
    database.expect_absent(keys[6:])


@points(1)
def test_tables_of_any_size(loader, rng):
    """Writers may leave much room or little: the header says how many slots there are, not the number of records."""
    records = random_records(rng, 700)
    for name, slots in (
        ("one slot too many", lambda n: n + 1),
        ("three slots per record", lambda n: 3 * n),
        ("257 slots", lambda n: 257),
    ):
        database = loader.open(build(records, slots), case=f"tables with {name}")
        database.expect_records(records)
        database.expect_absent(absent_keys(rng, records, 500))
        same("cdbm_count", database.count(), (0, 700), database.case)


@points(2)
def test_tables_in_any_order(loader, rng):
    """The first table need not be number 0, and the position of a table without slots means nothing."""
    records = random_records(rng, 60)
    for nowhere in (0, 7, 0xFFFFFFFF):
        layout = build(records, order=[*range(100, 256), *range(99, -1, -1)], nowhere=nowhere)
        case = f"table 100 first, position {nowhere:#x} for tables without slots"
        database = loader.open(layout, case=case)
        database.expect_records(records)
        same("cdbm_foreach", database.walk()[:2], (0, 60), case)
        same("cdbm_count", database.count(), (0, 60), case)


# --- All records ----------------------------------------------------------------------------------------------------


@points(2)
def test_foreach_keeps_the_order(loader, rng):
    """Every record once, in the order of the file, duplicates and empty ones too; then it ends, before the tables."""
    records = [*random_records(rng, 2000), (b"", b""), (b"", b""), (b"x", b"")]
    layout = build(records)
    database = loader.open(layout, case="2003 records")
    status, count, seen = database.walk()
    same("cdbm_foreach", (status, count), (0, 2003), database.case)
    right = bytes(layout.data[HEADER : min(layout.tables.values())])
    check(seen == right, "other records than those of the file", case=database.case)
    empty = loader.open(build([]), case="no records")
    same("cdbm_foreach", empty.walk()[:2], (0, 0), "no records")
    same("cdbm_count", empty.count(), (0, 0), "no records")


@points(1)
def test_foreach_stops_when_told(loader, rng):
    """What the function answers, unless 0, ends the walk at once and is returned as it is."""
    database = loader.open(build(random_records(rng, 50)), case="50 records")
    for stop_after, answer in ((1, 7), (20, -1), (50, 1), (30, BAD)):
        case = f"the function answers {answer} at record {stop_after}"
        same(
            "cdbm_foreach",
            database.walk(stop_after=stop_after, answer=answer)[:2],
            (answer, stop_after),
            case,
        )


# --- A mapping, not a copy ------------------------------------------------------------------------------------------


@must
@points(2)
def test_values_lie_in_the_mapped_file(loader, library, rng):
    """Pointers lead into a mapping of the file, and the same lookup gives the same one: nothing is copied."""
    records = random_records(rng, 40)
    path = loader.file(build(records))
    database = loader.open(path, case="40 records")
    first, again = database.ask([key for key, _ in records])[0], database.ask([key for key, _ in records])[0]
    check(
        bool((first == again).all()), "the same keys gave other pointers the second time", case=database.case
    )
    file = [item for item in library.mappings() if item.path == str(path)]
    check(bool(file), "the file is not mapped", case=database.case)
    for answer, (key, _) in zip(first, records, strict=True):
        address, length = int(answer["address"]), int(answer["length"])
        inside = any(item.start <= address and address + length <= item.end for item in file)
        check(inside, "a value does not lie in the mapped file", case=f"key {shown(key)}", got=hex(address))


@must
@points(2)
def test_open_reads_next_to_nothing(loader, library):
    """Opening takes as much memory for a large file as for a small one: pages come when they are needed."""
    for size in (1 << 20, 256 << 20, GIB):
        path = sparse(loader.folder / f"{size}.cdb", [(b"key", size, b"end")])
        loader.open(loader.file(build([])), case="an empty database").close()
        before, address_space = library.resident_mib(), library.memory_mib()
        database = loader.open(path, case=f"a file of {size >> 20} MiB")
        grown = library.resident_mib() - before
        check(
            grown < 8,
            f"opening took {grown:.0f} MiB of memory",
            case=database.case,
            expected="less than 8 MiB",
        )
        mapped = library.memory_mib() - address_space - (size >> 20)
        check(mapped < 8, f"{mapped:.0f} MiB more than the file were allocated", case=database.case)
        database.close()
        path.unlink()


@points(2)
def test_positions_beyond_two_gib(loader, library):
    """A sparse file of 3.9 GiB: positions have 32 bits and no sign, and a few lookups need a few pages."""
    size = int(3.9 * GIB)
    sizes = [(b"first", 100, b"1"), (b"huge", size, b"far away"), (b"behind", 9, b"and more")]
    path = sparse(loader.folder / "huge.cdb", sizes)
    loader.open(loader.file(build([])), case="an empty database").close()
    before = library.resident_mib()
    database = loader.open(path, case="a file of 3.9 GiB")
    answers, values = database.ask([b"first", b"huge", b"behind"])
    same("cdbm_get", answers["status"].tolist(), [1, 1, 1], database.case)
    same("the length", answers["length"].tolist(), [100, size, 9], database.case)
    database.expect_absent([b"nowhere", b"Huge"])
    far = database.peek(int(answers[1]["address"]) + size - 8, 8)
    check(far == b"far away", "the wrong value", case=database.case, expected=b"far away", got=far)
    check(values[2, 1:9].tobytes() == b"and more", "the wrong value", case=f"{database.case}: behind")
    same("cdbm_foreach", database.walk(room=16, stop_after=2, answer=5)[:2], (5, 2), database.case)
    same("cdbm_count", database.count(), (0, 3), database.case)
    grown = library.resident_mib() - before
    check(
        grown < 8,
        f"three lookups took {grown:.0f} MiB of memory",
        case=database.case,
        expected="less than 8 MiB",
    )


@points(1)
def test_another_file_of_the_same_name(loader):
    """What is open stays as it is when its name is given to another file; whoever opens the name then gets that one."""
    path = loader.file(build([(b"key", b"old")]))
    old = loader.open(path, case="before the name is given away")
    os.replace(loader.file(build([(b"key", b"new")])), path)  # noqa: PTH105
    new = loader.open(path, case="afterwards")
    old.expect_records([(b"key", b"old")])
    new.expect_records([(b"key", b"new")])


@points(1)
def test_two_databases_at_once(loader, rng):
    """Everything that a database needs is in its handle: no globals."""
    both = [random_records(rng, 100), random_records(rng, 120, 9)]
    opened = [loader.open(build(records), case=f"{len(records)} records") for records in both]
    for database, records in zip(opened, both, strict=True):
        database.expect_records(records)
    opened[0].close()
    opened[1].expect_records(both[1])


@points(1)
def test_advice_and_populate_change_nothing(loader, rng):
    """CDBM_POPULATE, CDBM_VERIFY and cdbm_advise are about speed and trust: the answers stay the same."""
    records = random_records(rng, 300)
    path = loader.file(build(records))
    for flags in (POPULATE, VERIFY, POPULATE | VERIFY):
        loader.open(path, flags, case=f"flags = {flags}").expect_records(records)
    database = loader.open(path, case="cdbm_advise")
    for pattern in (1, 2, 3, 0):
        status = loader.library.call("drive_advise", database.handle, pattern, case=f"pattern = {pattern}")
        check(status == 0, "cdbm_advise failed", case=f"pattern = {pattern}", expected=0, got=named(status))
        database.expect_records(records)


@points(2)
def test_threads_look_up_together(loader, rng):
    """Eight threads in one database: every answer as if each were alone."""
    records = random_records(rng, 1000)
    database = loader.open(build(records), case="8 threads, 1000 keys")
    keys = [key for key, _ in records] + absent_keys(rng, records, 400)
    wrong = loader.library.call(
        "drive_threads", database.handle, 8, 60, len(keys), *packed(keys), case=database.case
    )
    check(
        wrong == 0,
        f"{wrong} answers were wrong",
        case=database.case,
        why="Is there a static or global variable?",
    )


# --- Files that lie -------------------------------------------------------------------------------------------------


@category("safety")
@points(2)
def test_files_without_room_for_a_header(loader):
    """Fewer than 2048 bytes are no database, none at all included."""
    for size in (0, 1, 4, 8, 2040, 2047):
        refused(loader, bytes(size), f"a file of {size} bytes")
    loader.open(bytes(2048), case="2048 zeros")


@category("safety")
@points(2)
def test_tables_outside_the_file(loader):
    """Each table with slots must lie between the header and the end; the sum may not fit 32 bits."""
    good = build([(b"key", b"value"), (b"other", b"x")])
    (table, position), size = next(iter(good.tables.items())), len(good.data)
    wrong = {
        "one byte behind the end": (size - 8 + 1, 1),
        "far behind the end": (size + 100_000, 2),
        "one slot too many": (position, (size - position) // 8 + 1),
        "position + 8 * slots is 2^32": (0xFFFFFFF8, 1),
        "8 * slots is 2^32": (position, 0x20000000),
        "position + 8 * slots is 2^32 and a bit": (position, (0x100000000 - position) // 8 + 3),
        "as many slots as there can be": (HEADER, 0xFFFFFFFF),
        "in the header": (HEADER - 8, 1),
        "at 0": (0, 2),
    }
    for words, (position, slots) in wrong.items():
        for number in (table, (table + 1) % 256, 255):
            layout = Layout(bytearray(good.data))
            layout.put(8 * number, position).put(8 * number + 4, slots)
            refused(loader, layout, f"table {number} {words}: position {position:#x}, {slots} slots")


@category("safety")
@points(3)
def test_records_outside_the_file(loader):
    """A slot may point anywhere, and a record may claim any length: -EBADMSG, and not one byte is read outside."""
    key, size = b"key", len(build([(b"key", b"value")]).data)
    for words, position in {
        "at the end": size,
        "7 bytes before the end": size - 7,
        "behind the end": size + 4096,
        "at 2^32 - 1": 0xFFFFFFFF,
        "at 2^32 - 8": 0xFFFFFFF8,
        "above 2^31": 0x80000000,
        "in the header": HEADER - 4,
        "at 4": 4,
        "at 1": 1,
    }.items():
        layout = build([(key, b"value")])
        damaged(loader, layout.put(layout.slot_of(0) + 4, position), key, f"a slot that points {words}")
    room = size - HEADER - 8
    for words, klen, vlen in (
        ("the value ends one byte behind the file", 3, room - 3 + 1),
        ("a value of 2^32 - 1 bytes", 3, 0xFFFFFFFF),
        ("a value of 2^32 - 11 bytes: the sum is 2^32", 3, 0x100000000 - 11 - HEADER),
        ("a value of 2^32 - 3 bytes: both lengths together are 2^32", 3, 0x100000000 - 3),
        ("a value above 2^31", 3, 0x80000001),
        ("a key that ends behind the file", room + 1, 0),
        ("a key of 2^32 - 1 bytes", 0xFFFFFFFF, 0),
        ("two lengths of 2^31", 0x80000000, 0x80000000),
    ):
        layout = build([(key, b"value")])
        layout.put(HEADER, klen).put(HEADER + 4, vlen)
        database = loader.open(layout, case=words)
        asked = key if klen == 3 else None
        damaged(loader, layout, asked, words) if asked else not_found(database, key)
        same("cdbm_foreach", database.walk()[:2], (BAD, 0), words)
        same("cdbm_count", database.count()[0], BAD, words)


@category("safety")
@must
@points(3)
def test_a_table_without_an_empty_slot(loader):
    """A full table is legal, and a search in it must end after every slot was seen."""
    keys = oracle.keys_where(lambda h: h % 256 == 9, 40)
    for count in (1, 2, 13):
        records = [(key, key) for key in keys[:count]]
        database = loader.open(build(records, lambda n: n), case=f"a full table of {count} slots")
        database.expect_records(records)
        database.expect_absent(keys[count:], why="Count the slots that you have seen.")
        answers = [Answer(1, keys[0]), Answer(0), Answer(0)]
        database.expect(keys[:1] * 3, answers, nth=[0, 1, 1 << 40])


@category("safety")
@points(2)
def test_records_that_run_into_tables(loader):
    """cdbm_foreach ends at the first table: a record that goes on into it is damage, and no walk lasts for ever."""
    records = [(b"one", b"1" * 20), (b"two", b"2" * 20), (b"three", b"3" * 20)]
    good = build(records)
    for words, position, number, seen in (
        ("the last value is one byte longer", good.records[2] + 4, 21, 2),
        ("the last value ends with the file", good.records[2] + 4, len(good.data) - good.records[2] - 13, 2),
        ("the second value is one byte shorter", good.records[1] + 4, 19, 2),
        ("a table begins inside the records", 0, good.records[1] + 5, 1),
    ):
        layout = Layout(bytearray(good.data))
        layout.put(position, number)
        if position == 0:
            layout.put(4, 1)
        database = loader.open(layout, case=words)
        right = oracle.walk(layout.data)
        assert right[0] == BAD and len(right[1]) == seen, words
        same("cdbm_foreach", database.walk()[:2], (BAD, seen), words)
        same("cdbm_count", database.count()[0], BAD, words)


@category("safety")
@points(2)
def test_verify_finds_what_open_cannot(loader, rng):
    """With CDBM_VERIFY a file is good only when every record and every slot is; without it opening stays quick."""
    records = random_records(rng, 50)
    good = build(records)
    loader.open(good, VERIFY, case="a good file").expect_records(records)
    loader.open(build([]), VERIFY, case="an empty file")
    slot = good.slot_of(20)
    for words, position, number in (
        ("the last value is one byte longer", good.records[-1] + 4, len(records[-1][1]) + 1),
        ("the first key is one byte longer", good.records[0], len(records[0][0]) + 1),
        ("a slot points between two records", slot + 4, good.records[20] + 1),
        ("a slot points behind the end", slot + 4, len(good.data)),
        ("a slot points to another record", slot + 4, good.records[21]),
        ("a slot has another hash", slot, good.number(slot) + 256),
    ):
        layout = Layout(bytearray(good.data))
        layout.put(position, number)
        same("cdbm_open with CDBM_VERIFY", loader.status(layout, VERIFY, words), BAD, words)
        same("cdbm_open without CDBM_VERIFY", loader.status(layout, 0, words), 0, words)


@category("safety")
@must
@points(4)
@variant("faults")
def test_five_thousand_damaged_files(loader, library, rng):
    """One byte of a small file changed, five thousand times: each answer is right, absent or -EBADMSG."""
    records = random_records(rng, 30, 12)
    good = oracle.in_whole_pages([*records, (records[0][0], b"again")], 1)
    keys = [key for key, _ in records] + absent_keys(rng, records, 6)
    right = [oracle.look_up(good.data, key) for key in keys]
    places = np.concatenate([np.arange(PAGE), rng.integers(0, PAGE, 5000 - PAGE)])
    changes = [(int(place), int(good.data[place]) ^ int(rng.integers(1, 256))) for place in places]
    for number, (place, byte) in enumerate(changes):
        content = bytearray(good.data)
        content[place] = byte
        (loader.folder / str(number)).write_bytes(content)
    for first in range(0, len(changes), 250):
        batch = changes[first : first + 250]
        try:
            _judge_batch(library, loader.folder, good.data, first, batch, keys, right)
        except CheckFailed as failure:
            if "byte" in failure.case:
                raise
            for number, change in enumerate(batch, first):  # which one was it?
                _judge_batch(library, loader.folder, good.data, number, [change], keys, right)
            raise


@category("safety")
@points(2)
@variant("faults")
def test_not_one_byte_behind_the_file(loader, rng):
    """Files that end with a page: behind it lies one that nobody may touch."""
    records = random_records(rng, 60)
    for slots in (oracle.twice, lambda n: n):
        layout = oracle.in_whole_pages(records, 3, slots)
        database = loader.open(layout, case="exactly three pages")
        database.expect_records(oracle.walk(layout.data)[1])
        database.expect_absent(absent_keys(rng, records, 500))
        same("cdbm_foreach", database.walk()[:2], (0, 60), database.case)
    # A damaged file: a slot leads behind the tables, to what looks like a record and ends with the file.
    layout = build([(b"k", b"v")])
    record = pair(3, 5) + b"keyvalue"
    layout.data += bytes(2 * PAGE - len(layout.data) - len(record)) + record
    table = len(layout.data) - len(record) - 8
    layout.data[table : table + 8] = pair(hash_of(b"key"), table + 8)
    layout.put(8 * (hash_of(b"key") % 256), table).put(8 * (hash_of(b"key") % 256) + 4, 1)
    behind = loader.open(layout, case="a slot that leads behind the tables, to what ends with the file")
    if int(behind.ask([b"key"])[0][0]["status"]) != BAD:
        behind.expect([b"key"], [Answer(1, b"value")], why="cdbm.h allows -EBADMSG here, too.")
    for klen, vlen in ((3, 6), (4, 5), (9, 0)):
        longer = Layout(bytearray(layout.data)).put(table + 8, klen).put(table + 12, vlen)
        key = b"keyvalue\0"[:klen]
        longer.put(table, hash_of(key)).put(8 * (hash_of(key) % 256), table).put(
            8 * (hash_of(key) % 256) + 4, 1
        )
        damaged(loader, longer, key, f"a record that ends a byte behind the file, key of {klen} bytes")


@category("safety")
@must
@points(1.5)
@variant("asan")
def test_no_memory_errors_and_no_undefined_behaviour(loader, rng):
    """Numbers lie at any address in the file: read through a pointer to uint32_t they are undefined behaviour."""
    for shift in range(4):
        records = [(b"odd" + bytes(shift), b"value"), *random_records(rng, 80, 9), (b"\xff\x80", b"\xff")]
        database = loader.open(build(records), VERIFY, case=f"records and tables at any address, {shift}")
        database.expect_records(records)
        database.expect_absent([*absent_keys(rng, records, 80), b""])
        same("cdbm_foreach", database.walk()[:2], (0, 82), database.case)
        same("cdbm_count", database.count(), (0, 82), database.case)
        database.close()
    for layout in some_damage(records, rng):
        status = loader.status(layout, VERIFY, case="damaged")
        check(status in (0, BAD), "a damaged file", expected="0 or -EBADMSG", got=named(status))
        if loader.status(layout) == 0:
            database = loader.open(layout, case="damaged")
            database.ask([key for key, _ in records], room=0)
            database.count()
            database.close()


@category("safety")
@points(0.5)
@variant("tsan")
def test_no_data_races(loader, rng):
    """ThreadSanitizer sees two threads that write one variable, also when nothing goes wrong."""
    records = random_records(rng, 100)
    database = loader.open(build(records), case="4 threads")
    keys = [key for key, _ in records]
    wrong = loader.library.call(
        "drive_threads", database.handle, 4, 3, len(keys), *packed(keys), case=database.case
    )
    check(wrong == 0, f"{wrong} answers were wrong", case=database.case)


# --- Hygiene --------------------------------------------------------------------------------------------------------


@category("hygiene")
@points(2)
def test_wrong_arguments_are_refused(loader, library):
    """-EINVAL for what is NULL or unknown; a key of no bytes may be NULL, and so may what is closed."""
    path = loader.file(build([(b"", b"empty"), (b"k", b"v")]))
    database = loader.open(path, case="a good file")
    db, text = database.handle, str(path)
    count, slice_ = np.zeros(1, np.uint64), library.struct("cdbm_slice")
    out, status = np.zeros(1, np.uint64), np.zeros(1, np.int32)
    wrong = {
        "cdbm_open, path = NULL": ("cdbm_open", None, 0, out),
        "cdbm_open, out = NULL": ("cdbm_open", text, 0, None),
        "cdbm_open, flags = 4": ("cdbm_open", text, 4, out),
        "cdbm_open, flags = 2^31": ("cdbm_open", text, 1 << 31, out),
        "cdbm_get, db = NULL": ("cdbm_get", None, b"k", 1, slice_),
        "cdbm_get, key = NULL, klen = 1": ("cdbm_get", db, None, 1, slice_),
        "cdbm_get, val = NULL": ("cdbm_get", db, b"k", 1, None),
        "cdbm_get_nth, db = NULL": ("cdbm_get_nth", None, b"k", 1, 0, slice_),
        "cdbm_get_nth, val = NULL": ("cdbm_get_nth", db, b"k", 1, 0, None),
        "cdbm_foreach, db = NULL": ("cdbm_foreach", None, None, None),
        "cdbm_foreach, fn = NULL": ("cdbm_foreach", db, None, None),
        "cdbm_count, db = NULL": ("cdbm_count", None, count),
        "cdbm_count, nrec = NULL": ("cdbm_count", db, None),
        "cdbm_advise, db = NULL": ("cdbm_advise", None, 0),
        "cdbm_advise, pattern = 4": ("cdbm_advise", db, 4),
        "cdbm_advise, pattern = -1": ("cdbm_advise", db, -1),
    }
    for case, (function, *arguments) in wrong.items():
        same("a wrong call", library.call(function, *arguments, case=case), -errno.EINVAL, case)
    case = "cdbm_get, key = NULL, klen = 0"
    same("the empty key", library.call("cdbm_get", db, None, 0, slice_, case=case), 1, case)
    library.call("cdbm_close", None, case="cdbm_close(NULL)")
    handle = library.call("drive_open", text, 4, status, case="flags = 4")
    check(handle is None, "*out is not NULL after a refused call", case="flags = 4")


@category("hygiene")
@points(1)
def test_descriptor_0_is_a_good_one(loader, library):
    """A program that has closed its standard input gets 0 from open: that is a descriptor, and no error."""
    path, status = loader.file(build([(b"k", b"v")])), np.full(1, 12345, np.int32)
    handle = library.call("drive_open_without_input", str(path), status, case="after close(0)")
    same("cdbm_open after close(0)", int(status[0]), 0, "a good file")
    check(handle is not None, "*out is NULL after a call that worked", case="after close(0)")
    library.call("cdbm_close", handle, case="opened after close(0)")


@category("hygiene")
@points(1)
def test_what_is_no_file(loader, library):
    """A folder, a pipe, a device, a circle of links, a secret file: each has its errno, and none makes us wait."""
    folder = loader.folder
    os.mkfifo(folder / "pipe")
    (folder / "pipe").chmod(0o644)
    (folder / "circle").symlink_to("circle")
    (folder / "link").symlink_to(loader.file(build([(b"k", b"v")])))
    secret = loader.file(build([]))
    secret.chmod(0)
    for name, path, error in (
        ("a folder", folder, errno.EISDIR),
        ("a pipe that nobody writes to", folder / "pipe", errno.ENODEV),
        ("/dev/null", Path("/dev/null"), errno.ENODEV),
        ("/dev/zero", Path("/dev/zero"), errno.ENODEV),
        ("a link to itself", folder / "circle", errno.ELOOP),
        ("a path through a file", secret / "x", errno.ENOTDIR),
        ("the empty path", Path(), errno.ENOENT),
        ("a name of 300 letters", folder / ("x" * 300), errno.ENAMETOOLONG),
        ("a file that may not be read", secret, errno.EACCES),
    ):
        case = f"cdbm_open of {name}"
        status = np.zeros(1, np.int32)
        text = "" if name == "the empty path" else str(path)
        handle = library.call("drive_open", text, 0, status, case=case)
        same("cdbm_open", int(status[0]), -error, case)
        check(handle is None, "*out is not NULL after a failure", case=case)
    too_large = folder / "large"
    with too_large.open("wb") as file:
        file.truncate(4 * GIB)
    too_large.chmod(0o644)
    same("cdbm_open", loader.status(too_large), -errno.EFBIG, "a file of 4 GiB")
    loader.open(folder / "link", case="a link to a good file").expect_records([(b"k", b"v")])


@category("hygiene")
@points(2)
@variant("faults")
def test_failing_calls_leave_nothing_behind(loader, library, rng):
    """open, fstat, mmap and malloc may fail: the error goes through, and nothing stays open, mapped or allocated."""
    path = loader.file(build(random_records(rng, 20)))
    loader.status(path)
    descriptors = library.descriptors()
    failing = [
        (0, "open", errno.EMFILE),
        (1, "fstat", errno.EIO),
        (2, "mmap", errno.ENOMEM),
        (2, "mmap", errno.EACCES),
    ]
    for call, name, error in failing:
        case = f"{name} fails with {errno.errorcode[error]}"
        library.call("guest_fail_allocation", -1)
        library.call("faults_fail", call, 0, error)
        same("cdbm_open", loader.status(path, case=case), -error, case)
        library.call("faults_fail", call, -1, 0)
        nothing_left(loader, descriptors, case)
    for flags in (0, VERIFY):
        for nth in itertools.count():
            library.call("guest_fail_allocation", nth)
            case = f"flags = {flags}, allocation {nth} fails"
            got = loader.status(path, flags, case)
            if library.call("guest_allocations") <= nth:
                break
            same("cdbm_open", got, -errno.ENOMEM, case)
            nothing_left(loader, descriptors, case)
    library.call("guest_fail_allocation", -1)
    broken = {  # that each is refused is the fact of other tests
        "a small file": (bytes(100), 0),
        "a table outside the file": (build([]).put(8, 1 << 30).put(12, 1), 0),
        "a record that is too long": (build([(b"k", b"v")]).put(HEADER, 1 << 20), VERIFY),
    }
    for case, (content, flags) in broken.items():
        loader.status(content, flags, case)
        nothing_left(loader, descriptors, case)


@category("hygiene")
@points(1)
@variant("faults")
def test_everything_is_given_back(loader, library, rng):
    """After cdbm_close no memory, no mapping and no descriptor is left, and the mapping was given back as a whole."""
    path = loader.file(build(random_records(rng, 2000)))
    loader.status(path)
    descriptors = library.descriptors()
    library.call("guest_fail_allocation", -1)
    wrong = library.call("faults_wrong_unmaps")
    for flags in (0, VERIFY, POPULATE):
        case = f"opened and closed twenty times, flags = {flags}"
        same("cdbm_open", library.call("drive_reopen", str(path), flags, 20, case=case), 0, case)
        nothing_left(loader, descriptors, case)
    check(library.call("faults_wrong_unmaps") == wrong, "munmap was called with another length than mmap")


@category("hygiene")
@points(1)
def test_ten_thousand_times(loader, library, rng):
    """Opened and closed ten thousand times, good files and damaged ones: nothing grows."""
    good, bad = (
        loader.file(build(random_records(rng, 200))),
        loader.file(build([]).put(8, 1 << 30).put(12, 1)),
    )
    library.call("drive_reopen", str(good), 0, 10, case="ten times")
    descriptors, mappings, memory = library.descriptors(), len(library.mappings()), library.memory_mib()
    case = "ten thousand times"
    same("cdbm_open", library.call("drive_reopen", str(good), 0, 10_000, case=case), 0, case)
    for _ in range(200):
        library.call("drive_reopen", str(bad), 0, 10, case="a damaged file")
    same("the open descriptors", library.descriptors(), descriptors, case)
    more = len(library.mappings()) - mappings
    check(more <= 4, f"{more} mappings are left", case=case)
    grown = library.memory_mib() - memory
    check(grown < 8, f"{grown:.0f} MiB were not given back", case=case)


# --- Files and facts for the tests above ----------------------------------------------------------------------------


def written_by_tinycdb(records: list[tuple[bytes, bytes]], path: Path) -> Path:
    """A file that Debian's program cdb wrote."""
    program = shutil.which("cdb")
    if program is None:
        raise NotJudged("needs tinycdb: apt-get install tinycdb")
    lines = [b"+%d,%d:%s->%s\n" % (len(key), len(value), key, value) for key, value in records]
    subprocess.run([program, "-c", "-t", f"{path}.tmp", str(path)], input=b"".join(lines) + b"\n", check=True)
    path.chmod(0o644)
    return path


def sparse(path: Path, records: list[tuple[bytes, int, bytes]]) -> Path:
    """A file of (key, length of the value, what it ends with); the rest of the values is a hole."""
    entries = []
    with path.open("wb") as file:
        file.seek(HEADER)
        for key, length, end in records:
            entries.append((hash_of(key), file.tell()))
            file.write(pair(len(key), length) + key)
            file.seek(length - len(end), os.SEEK_CUR)
            file.write(end)
        header = bytearray(HEADER)
        for table in range(256):
            members = [entry for entry in entries if entry[0] % 256 == table]
            slots = [(0, 0)] * (2 * len(members))
            for h, position in members:
                place = h // 256 % len(slots)
                while slots[place][1]:
                    place = (place + 1) % len(slots)
                slots[place] = (h, position)
            header[8 * table : 8 * table + 8] = pair(file.tell(), len(slots))
            file.write(b"".join(pair(*slot) for slot in slots))
        file.seek(0)
        file.write(header)
    path.chmod(0o644)
    return path


def same(what: str, got: object, expected: object, case: str) -> None:
    """Numbers, or several of them, as they must be; negative ones are shown as errno."""
    check(got == expected, f"{what} is wrong", case=case, expected=spelled(expected), got=spelled(got))


def spelled(value: object) -> str:
    return f"({', '.join(map(named, value))})" if isinstance(value, tuple) else named(value)


def refused(loader, content: bytes | Layout, case: str) -> None:
    same("cdbm_open of a damaged file", loader.status(content, case=case), BAD, case)


def damaged(loader, layout: Layout, key: bytes, case: str) -> None:
    """The file opens, and the lookup says -EBADMSG."""
    database = loader.open(layout, case=case)
    database.expect([key], [Answer(BAD)])
    database.close()


def not_found(database, key: bytes) -> None:
    """-EBADMSG or absent, for a record whose key has another length."""
    status = int(database.ask([key])[0][0]["status"])
    check(status in (0, BAD), "a damaged record was found", case=database.case, got=named(status))


def nothing_left(loader, descriptors: dict[int, str], case: str) -> None:
    """The same descriptors as before, no file of the test mapped, no memory allocated."""
    same("the open descriptors", loader.library.descriptors(), descriptors, case)
    mapped = [item.path for item in loader.library.mappings() if item.path.startswith(str(loader.folder))]
    same("the mapped files", mapped, [], case)
    same("bytes that were not freed", loader.library.call("guest_live_bytes"), 0, case)


def some_damage(records: list[tuple[bytes, bytes]], rng: np.random.Generator) -> list[Layout]:
    """Files with one wrong number at one of the places that matter."""
    good = build(records)
    slots = [good.slot_of(index) + half for index in (0, 3) for half in (0, 4)]
    places = [0, 4, 8 * 255, 8 * 255 + 4, good.records[0], good.records[0] + 4, *slots]
    numbers = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(good.data) - 1]
    return [Layout(bytearray(good.data)).put(place, number) for place in places for number in numbers]


def _judge_batch(
    library,
    folder: Path,
    good: bytearray,
    first: int,
    changes: list[tuple[int, int]],
    keys: list[bytes],
    right: list[Answer],
    room: int = 48,
) -> None:
    """Look all keys up in the files first, first + 1, ...; `right` holds the answers in the undamaged file."""
    count, n = len(changes), len(keys)
    opened, walked, counted = (np.full(count, 12345, np.int32) for _ in range(3))
    counts, answers = np.zeros(count, np.uint64), np.zeros(count * n, ANSWER)
    values = np.zeros((count * n, room), np.uint8)
    place, byte = changes[0]
    case = f"byte {place} is {byte:#04x}" if count == 1 else f"{count} damaged files"
    library.call(
        *("drive_corpus", str(folder), first, count, n, *packed(keys), opened, answers, values, room),
        *(walked, counted, counts),
        case=case,
    )
    for index, (place, byte) in enumerate(changes):
        case = f"byte {place} is {byte:#04x}, not {good[place]:#04x}"
        content = bytearray(good)
        content[place] = byte
        is_good = oracle.header_is_good(content)
        same("cdbm_open", int(opened[index]), 0 if is_good else BAD, case)
        if not is_good:
            continue
        status, records = oracle.walk(content)
        same("cdbm_foreach", int(walked[index]), status, case)
        same("cdbm_count", int(counted[index]), status, case)
        if status == 0:
            same("the count", int(counts[index]), len(records), case)
        for number, key in enumerate(keys):
            at = index * n + number
            _judge_answer(answers[at], values[at].tobytes(), content, place, key, right[number], case)


def _judge_answer(
    got: np.void, value: bytes, content: bytearray, place: int, key: bytes, right: Answer, case: str
) -> None:
    """Untouched lookups must be right; others may also be absent or damaged, or what the damaged file says."""
    status, length, room = int(got["status"]), int(got["length"]), len(value)
    is_free = right.depends_on(place)
    if is_free and status in (0, BAD):
        return
    if status == BAD and right.end > oracle.first_table(content):  # then the record lies behind a table
        return
    words = "Found, but not what is there." if is_free else "This byte plays no part in this lookup."
    now = oracle.look_up(content, key) if is_free else right
    if length == len(now.value):  # compare as far as it was copied
        length, now = min(length, room), cut(now, room)
    verify(status, length, value, bool(got["touched"]), now, f"{case}: key {shown(key)}", words)


def cut(answer: Answer, room: int) -> Answer:
    """The answer as far as values were copied."""
    return Answer(answer.status, answer.value[:room], answer.read)
