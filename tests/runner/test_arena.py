"""Where arrays lie, and who may write there."""

from __future__ import annotations

import fcntl
import mmap
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.runner.arena import PAGE, Placer, SharedMemory

EDGES = st.sampled_from(("end", "start", "inside"))
REQUESTS = st.lists(
    st.tuples(st.integers(0, 5 * PAGE), EDGES, st.integers(0, 32).map(lambda n: 64 * n)), max_size=12
)


@settings(max_examples=400, deadline=None)
@given(requests=REQUESTS, first_page=st.integers(0, 8))
def test_windows_never_touch_and_hold_their_arrays(requests, first_page: int) -> None:
    size = 1 << 20
    placer = Placer(0, size, first_page)
    previous_end = first_page * PAGE - PAGE
    for nbytes, edge, skew in requests:
        block = placer.place(nbytes, edge, skew)
        window = block.window
        assert window.offset % PAGE == window.length % PAGE == 0 and window.length >= PAGE
        assert window.offset >= previous_end + PAGE  # a closed page between neighbours
        assert window.offset + window.length <= size
        assert window.offset <= block.offset and block.offset + nbytes <= window.offset + window.length
        if edge == "end":
            assert block.offset + nbytes == window.offset + window.length
        if edge == "start":
            assert block.offset == window.offset
        if edge == "inside":
            assert block.offset == window.offset + skew
        previous_end = window.offset + window.length


@settings(max_examples=400, deadline=None)
@given(requests=REQUESTS, pages=st.integers(1, 12))
def test_a_small_arena_is_full_and_never_overrun(requests, pages: int) -> None:
    placer = Placer(1, pages * PAGE)
    for nbytes, edge, skew in requests:
        try:
            block = placer.place(nbytes, edge, skew)
        except MemoryError as error:
            assert str(pages * PAGE) in str(error)
        else:
            assert block.window.offset + block.window.length <= pages * PAGE


def test_sizes_are_whole_pages() -> None:
    memory = SharedMemory(1, PAGE + 1)
    assert memory.size == 2 * PAGE == os.fstat(memory.fd).st_size
    memory.close()


def test_the_grader_writes_and_reads_the_same_bytes() -> None:
    memory = SharedMemory(0, PAGE)
    memory.bytes_of(100, 4)[:] = (1, 2, 3, 4)
    assert list(memory.bytes_of(99, 6)) == [0, 1, 2, 3, 4, 0]
    assert memory.bytes_of(PAGE, 0).size == 0
    memory.close()


@pytest.mark.parametrize("arena", [0, 1])
def test_nobody_can_resize_an_arena(arena) -> None:
    memory = SharedMemory(arena, PAGE)
    for size in (0, 2 * PAGE):
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(memory.fd, 1033, 8)  # F_ADD_SEALS: no further ones
    memory.close()


def test_inputs_can_be_written_only_by_the_mapping_made_before_the_seal() -> None:
    memory = SharedMemory(0, PAGE)
    with pytest.raises(PermissionError):
        os.pwrite(memory.fd, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(memory.fd, PAGE)
    copy = os.open(f"/proc/self/fd/{memory.fd}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.pwrite(copy, b"x", 0)
    memory.bytes_of(0, 1)[:] = 5
    with mmap.mmap(memory.fd, PAGE, prot=mmap.PROT_READ) as seen:
        assert seen[0] == 5
    os.close(copy)
    memory.close()


def test_outputs_can_be_written() -> None:
    memory = SharedMemory(1, PAGE)
    os.pwrite(memory.fd, b"\x07", 0)
    assert memory.bytes_of(0, 1)[0] == 7
    memory.close()


def test_closing_is_fine_while_somebody_still_looks() -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    memory = SharedMemory(1, PAGE)
    view = memory.bytes_of(0, 8)
    memory.close()
    assert np.all(view == 0)
    del view, memory
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
