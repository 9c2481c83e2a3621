"""Groups of guests: started, called, frozen and ended together; one may die, and nothing outlives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from grader.runner import group
from grader.runner.group import Answer, Group, GroupFailed, Together
from grader.runner.host import GuestSpec
from grader.runner.relay import Wire
from tests.fixtures import tiny

PEER = """
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
/* what: 0 return at once; 1 sleep for ever; 2 make a file; 3 an Internet socket; 4 a Unix socket;
 * 5 look at the clock for 200 ms; 6 sleep for 200 ms;
 * 1000 + fd send one byte; 2000 + fd wait for one byte, which is the answer. */
int tiny_act(int what, const float *input, float *output, size_t count)
{
    (void)input;
    if (count > 0)
        output[0] = input[0] + 1.0f;
    if (what == 1)
        for (;;)
            pause();
    if (what == 5) {
        struct timespec now, begin;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        do
            clock_gettime(CLOCK_MONOTONIC, &now);
        while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < 200000000L);
        return 0;
    }
    if (what == 6)
        return usleep(200000);
    if (what == 2)
        return open("left.behind", O_CREAT | O_WRONLY, 0600) >= 0;
    if (what == 3 || what == 4) {
        int fd = socket(what == 3 ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
        return fd >= 0 ? close(fd) : -errno;
    }
    if (what >= 2000) {
        struct pollfd watched = {what - 2000, POLLIN, 0};
        unsigned char byte = 0;
        poll(&watched, 1, 5000);
        return read(what - 2000, &byte, 1) == 1 ? byte : -1;
    }
    return what >= 1000 ? (int)write(what - 1000, "A", 1) : 0;
}
"""


@pytest.fixture(scope="module")
def spec(tier) -> GuestSpec:
    return tiny.spec(tier, tiny.source(PEER))


@pytest.fixture
def three(tier, spec) -> Iterator[Group]:
    with Group(tier, spec, 3) as made:
        yield made


def act(
    interface, made: Group, *whats: int | None, timeout_s: float = 5.0, **how
) -> list[Answer | GroupFailed | None]:
    """Rank i calls tiny_act(whats[i]); None: it is not called."""
    floats, into = np.zeros(1, np.float32), [np.zeros(1, np.float32) for _ in whats]
    arguments = tuple(
        None if what is None else (what, floats, into[rank], 1) for rank, what in enumerate(whats)
    )
    invocations = [Together("tiny_act", arguments)]
    made.wait_until_ready()
    staged = group.stage(made, interface, invocations)
    group.write(made, interface, staged)
    calls = [None if what is None else staged.calls[rank] for rank, what in enumerate(whats)]
    return made.each(calls, staged.windows, timeout_s, **how)


def test_every_rank_gets_its_own_arguments_and_arrays(three, interface) -> None:
    into = [np.zeros(2, np.float32) for _ in range(3)]
    given = [np.full(2, 10.0 * rank, np.float32) for rank in range(3)]
    calls = [Together("tiny_act", tuple((0, given[rank], into[rank], 2) for rank in range(3)))]
    three.wait_until_ready()
    staged = group.stage(three, interface, calls)
    group.write(three, interface, staged)
    values, timing = three.call(staged.calls, staged.windows)
    group.read_back(three, interface, staged)
    assert values == ((0,), (0,), (0,))
    assert [array[0] for array in into] == [1.0, 11.0, 21.0]
    assert timing.wall_s > 0


def test_ranks_talk_over_the_wires(three, interface) -> None:
    wires = three.descriptors
    fates = act(interface, three, 1000 + wires[0][2], None, 2000 + wires[2][0])
    assert [fate and fate.values for fate in fates] == [(1,), None, (ord("A"),)]
    assert three.relay.sent[0, 2] == 1 and three.relay.sent.sum() == 1


def test_all_run_at_the_same_time(three, interface) -> None:
    """Each waits for a byte that another one sends in the same call; one after the other would hang."""
    wires = three.descriptors
    act(interface, three, 1000 + wires[0][1], 2000 + wires[1][0], None)
    assert all(isinstance(fate, Answer) for fate in act(interface, three, 0, 0, 0))


def test_between_calls_all_stand_still(three, interface) -> None:
    act(interface, three, 0, 0, 0)
    before = three.cpu_ns()
    time.sleep(0.05)
    assert three.cpu_ns() == before


def test_each_rank_can_have_a_core_of_its_own(three, interface) -> None:
    act(interface, three, 0, 0, 0)
    cores = sorted(os.sched_getaffinity(0))
    three.spread(cores)
    places = [os.sched_getaffinity(guest.pid) for guest in three.guests]
    assert places == [{cores[rank % len(cores)]} for rank in range(3)]


def test_one_deadline_for_all(three, interface) -> None:
    start = time.monotonic()
    fates = act(interface, three, 0, 1, 1, timeout_s=0.4)
    assert 0.4 <= time.monotonic() - start < 60
    assert isinstance(fates[0], Answer)
    assert [fate.kind for fate in fates[1:] if isinstance(fate, GroupFailed)] == ["hung", "hung"]
    assert "rank 1" in str(fates[1])


def test_a_rank_is_killed_in_the_middle_and_the_others_notice(three, interface) -> None:
    wires = three.descriptors
    fates = act(interface, three, 1, 2000 + wires[1][0], 0, kill_after_s={0: 0.1})
    assert isinstance(fates[0], GroupFailed) and fates[0].kind == "crashed"
    assert isinstance(fates[1], Answer) and fates[1].values == (-1,)
    assert three.killed == {0}


def test_a_rank_is_killed_after_so_many_bytes(tier, spec, interface) -> None:
    with Group(tier, spec, 2, Wire(), cut={0: 1}) as made:
        act(interface, made, 1000 + made.descriptors[0][1], None)
        assert tiny.eventually(lambda: made.killed == {0})
        assert isinstance(act(interface, made, 0, None)[0], GroupFailed)


def test_unix_sockets_only(three, interface) -> None:
    fates = act(interface, three, 3, 4, 0)
    assert [fate and fate.values for fate in fates] == [(-1,), (0,), (0,)]  # EPERM


def test_the_shared_folder_is_shared_and_goes_with_the_group(tier, spec, interface) -> None:
    with Group(tier, spec, 2) as made:
        fates = act(interface, made, 2, None)
        assert isinstance(fates[0], Answer) and fates[0].values == (1,)
        folder = made.folder.path
        assert [path.name for path in folder.iterdir()] == ["left.behind"]
    assert not folder.exists()


def test_nothing_is_left_of_a_group(tier, spec, interface) -> None:
    with tiny.leaving_nothing(), Group(tier, spec, 4) as made:
        act(interface, made, 0, 1, 2, None, timeout_s=0.3)


def test_nothing_is_left_when_the_grader_is_killed(spec, tmp_path: Path) -> None:
    """No process of the sandbox, and no folder: nobody is there any more who could clear away."""
    script = textwrap.dedent(
        """
        import sys, time
        from grader.runner.group import Group
        from grader.sandbox.probe import best_tier
        from tests.fixtures import tiny
        from tests.runner.test_group import PEER
        tier = best_tier(77)
        made = Group(tier, tiny.spec(tier, tiny.source(PEER)), 3)
        made.wait_until_ready()
        print(made.folder.path, *(guest.pid for guest in made.guests), flush=True)
        time.sleep(60)
        """
    )
    grader = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert grader.stdout is not None
    folder, *pids = grader.stdout.readline().split()
    assert Path(folder).is_dir() and len(pids) == 3
    os.kill(grader.pid, signal.SIGKILL)
    grader.wait()
    grader.stdout.close()
    assert tiny.eventually(lambda: not Path(folder).exists())
    assert tiny.eventually(lambda: not any(_lives(int(pid)) for pid in pids))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
