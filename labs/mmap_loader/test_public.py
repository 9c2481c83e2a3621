"""Public tests: what every student has. Their names say what must hold."""

from __future__ import annotations

import errno

from grader.testing import category, check, must, points, smoke, variant
from labs.mmap_loader.loader import named, packed
from labs.mmap_loader.oracle import Answer, build

pytestmark = category("correctness")

FRUIT = [(b"apple", b"red"), (b"banana", b"yellow"), (b"cherry", b"dark red"), (b"plum", b"blue")]


@smoke
@points(1)
def test_hash_of_known_keys(library):
    """h = 5381, then h = (h * 33) ^ c for every byte, in 32 bits."""
    for key, known in ((b"", 5381), (b"a", 177604), (b"foobar", 1353372818)):
        got = library.call("cdbm_hash", key, len(key), case=repr(key))
        check(got == known, "the wrong hash", case=repr(key), expected=known, got=got)


@must
@points(1)
def test_an_empty_database(loader):
    """2048 bytes, no tables, no records: a good file in which nothing is found."""
    database = loader.open(build([]), case="an empty database")
    database.expect_absent([b"", b"key"])


@must
@points(2)
def test_one_record(loader):
    """The key is found, its value is right, and other keys are absent."""
    database = loader.open(build([(b"key", b"value")]), case="one record")
    database.expect_records([(b"key", b"value")])
    database.expect_absent([b"kez", b"value", b"ke", b"key2"])


@must
@points(1)
def test_a_few_records(loader):
    """Each key gives its own value."""
    database = loader.open(build(FRUIT), case="four fruits")
    database.expect_records(FRUIT)
    database.expect_absent([b"pear", b"apples", b"Apple"])


@points(2)
def test_a_key_that_occurs_twice(loader):
    """cdbm_get gives the first, cdbm_get_nth any of them, counted from 0 in the order of the file."""
    database = loader.open(build([(b"k", b"one"), (b"other", b"x"), (b"k", b"two")]), case="k twice")
    wanted = [Answer(1, b"one"), Answer(1, b"one"), Answer(1, b"two"), Answer(0)]
    database.expect([b"k"] * 4, wanted, nth=[-1, 0, 1, 2])


@points(2)
def test_foreach_shows_every_record(loader):
    """In the order of the file; cdbm_count counts as many."""
    layout = build(FRUIT)
    database = loader.open(layout, case="four fruits")
    status, count, records = database.walk()
    check(status == 0, "cdbm_foreach failed", expected=0, got=named(status))
    check(
        count == len(FRUIT), "cdbm_foreach showed the wrong number of records", expected=len(FRUIT), got=count
    )
    end = min(layout.tables.values())
    check(records == layout.data[2048:end], "cdbm_foreach showed other records", expected=FRUIT, got=records)
    check(database.count() == (0, len(FRUIT)), "cdbm_count is wrong", expected=(0, 4), got=database.count())


@points(2)
def test_what_cannot_be_opened(loader):
    """The system's error goes through as a negative errno; a file that is too small is damaged."""
    missing = loader.status(loader.folder / "nowhere.cdb", case="no such file")
    check(
        missing == -errno.ENOENT,
        "the wrong error",
        case="no such file",
        expected="-ENOENT",
        got=named(missing),
    )
    small = loader.status(b"too small", case="a file of 9 bytes")
    check(
        small == -errno.EBADMSG,
        "the wrong error",
        case="a file of 9 bytes",
        expected="-EBADMSG",
        got=named(small),
    )


@category("safety")
@points(0.5)
@variant("asan")
def test_no_memory_error_with_four_fruits(loader):
    """AddressSanitizer and UndefinedBehaviorSanitizer watch a few lookups."""
    database = loader.open(build(FRUIT), case="four fruits")
    database.expect_records(FRUIT)
    database.expect_absent([b"", b"no fruit", b"\xff\xfe"])
    database.walk()
    database.close()


@category("safety")
@points(0.5)
@variant("tsan")
def test_no_data_race_of_two_threads(loader):
    """ThreadSanitizer watches two threads that look keys up in one database."""
    database = loader.open(build(FRUIT), case="two threads, four fruits")
    keys = [key for key, _ in FRUIT]
    wrong = loader.library.call(
        "drive_threads", database.handle, 2, 3, len(keys), *packed(keys), case=database.case
    )
    check(wrong == 0, f"{wrong} answers were wrong", case=database.case)


@category("hygiene")
@points(2)
def test_compiles_without_warnings(build, loader):
    """The compiler's warnings (-Wall -Wextra) are often the first sign of a mistake."""
    loader.open(bytes(2048), case="an empty database")  # an empty file has no warnings either
    remarks = [item for item in build.remarks if item.severity == "warning"]
    if remarks:
        first = remarks[0]
        where = f"{first.file}:{first.line}"
        check(False, f"{len(remarks)} warnings, the first: {first.message}", where=where, why=first.hint)
