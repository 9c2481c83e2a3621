"""Facts about simulated calls: the log is read strictly, and the counts are those of the call."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.testing import CheckFailed, NotJudged
from grader.testing.simulation import Cache, Counts, Simulator, parse
from tests.conftest import needs
from tests.testing import steps
from tests.testing.steps import STEPS, source

LOG = """\
==2== Callgrind, a call-graph generating cache profiler
==2== Command: python3.11 -I -S -B guest.py
==2==
--2-- warning: L3 cache found, using its data for the LL simulation.
==2== For interactive control, run 'callgrind_control -h'.
==2==
==2== Events    : Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw
==2== Collected : 4000053 9 8 10 11 12 13 14 15
==2==
==2== I   refs:      4,000,053
"""


def test_the_totals_are_read_by_their_names():
    assert parse(LOG) == Counts(instructions=4000053, accesses=17, d1_misses=23, ll_misses=29)


def test_the_order_of_the_columns_does_not_matter():
    log = (
        "==7== Events : DLmw DLmr ILmr D1mw D1mr I1mr Dw Dr Ir Bc\\n==7== Collected : 1 2 3 4 5 6 7 8 9 10\\n"
    )
    expected = Counts(instructions=9, accesses=15, d1_misses=9, ll_misses=3, branches=10)
    assert parse(log.replace("\\n", "\n")) == expected


SUMMARY = """\
==2== D1  misses:            25  (         12 rd   +        13 wr)
==2== LLd misses:             14  (         14 rd   +         0 wr)
"""


def test_zeros_that_valgrind_leaves_out_at_the_end_are_zeros():
    trimmed = LOG.replace(" 14 15", " 14") + SUMMARY
    assert parse(trimmed) == Counts(instructions=4000053, accesses=17, d1_misses=23, ll_misses=14)
    with pytest.raises(NotJudged, match="valgrind did not report"):
        parse(LOG.replace(" 13 14 15", "") + SUMMARY)  # cut, and not zero


@pytest.mark.parametrize(
    "log",
    [
        "",
        "valgrind: Unrecognised instruction",
        LOG.replace("Events", "Evidence"),
        LOG.replace("Collected", "Collapsed"),
        LOG.replace(" 13 14 15", ""),  # cut: the last numbers are not zero
        LOG.replace(" 15", " 15 16"),
        LOG.replace(" D1mr D1mw", ""),  # without the cache simulation
        LOG.replace("4000053 9", "lots 9"),
        LOG + LOG,  # two totals, and nobody knows whose
        LOG.replace("==2== Collected", "hello ==2== Collected"),
    ],
)
def test_a_log_without_whole_totals_judges_nobody(log):
    with pytest.raises(NotJudged, match="valgrind did not report"):
        parse(log)


@given(st.integers(0, len(LOG)), st.integers(0, 40), st.text(max_size=20))
def test_a_damaged_log_gives_counts_or_judges_nobody(start, length, new):
    damaged = LOG[:start] + new + LOG[start + length :]
    try:
        counts = parse(damaged)
    except NotJudged:
        return
    assert counts.instructions >= 0


def test_without_valgrind_nobody_is_judged(lab, monkeypatch):
    monkeypatch.setattr("grader.testing.simulation._PROGRAMS", ())
    with pytest.raises(NotJudged, match="apt-get install valgrind"):
        run(lab, source())


def run(lab, code: str, count: int = 8, cache: Cache | None = None) -> tuple[Counts, np.ndarray]:
    subject = steps.subject(lab, code)
    given, out = np.arange(count, dtype=np.uint32), np.zeros(count, np.uint32)
    try:
        simulator: Simulator = subject.simulator()
        return simulator.call("steps_apply", count, given, out, cache=cache), out
    finally:
        subject.close()


@needs("valgrind")
def test_a_call_is_counted_alike_every_time_and_its_output_comes_back(lab):
    counts, out = run(lab, source())
    assert run(lab, source())[0] == counts
    assert 3 * STEPS < counts.instructions < 6 * STEPS
    assert list(out) == [1, 4, 7, 10, 13, 16, 19, 22]


@needs("valgrind")
def test_a_larger_cache_keeps_what_was_read_before(lab):
    """64 KiB read three times: each time anew through 16 KiB, once only through 256 KiB."""
    again = "    for (int pass = 0; pass < 3; pass++)\n" + steps.LOOP
    count, line = 8192, 16
    small, _ = run(lab, source(0.0, body=again), count, Cache(d1=(4096, 8, 64), ll=(16384, 16, 64)))
    large, _ = run(lab, source(0.0, body=again), count, Cache(d1=(4096, 8, 64), ll=(262144, 16, 64)))
    assert small.d1_misses == large.d1_misses >= 2 * 3 * count / line
    assert small.ll_misses >= 2 * 3 * count / line
    assert large.ll_misses == pytest.approx(2 * count / line, rel=0.05)


INNER = """
__attribute__((noipa)) void inner(size_t count, const uint32_t *in, uint32_t *out)
{
    for (size_t i = 0; i < count; i++)
        if (in[i] % 2 != 0) {
            __asm__ volatile("");
            out[i] = 3 * in[i] + 1;
        }
}
"""


@needs("valgrind")
def test_an_inner_function_can_be_counted_alone_with_its_branches(lab):
    subject = steps.subject(lab, source(1.0, INNER, "    inner(count, in, out);\n"))
    rng, count = np.random.default_rng(1), 5000
    try:
        simulator = subject.simulator()
        wrong = {}
        for name, given in (("even", np.zeros(count)), ("random", rng.integers(0, 2, count))):
            arguments = (count, given.astype(np.uint32), np.zeros(count, np.uint32))
            counts = simulator.call("steps_apply", *arguments, inside="inner", branches=True)
            assert counts.instructions < STEPS
            assert 2 * count <= counts.branches < 2.5 * count
            wrong[name] = counts.mispredicted / count
        assert wrong["even"] < 0.05 < 0.3 < wrong["random"]
        assert simulator.call("steps_apply", *arguments).branches == 0
    finally:
        subject.close()


FORGED = r"""
#include <sys/stat.h>
#include <unistd.h>
static const char lie[] = "==2== Events    : Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\n"
                          "==2== Collected : 1 1 1 1 1 1 1 1 1\n";
"""
FORGING = """\
    for (int fd = 0; fd < 2000; fd++) {
        struct stat status;
        if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && write(fd, lie, sizeof lie - 1) < 0)
            out[0] = 0;
    }
"""


@needs("valgrind")
def test_a_submission_cannot_write_the_log(lab):
    counts, _ = run(lab, source(1.0, FORGED, steps.LOOP + FORGING))
    assert counts.instructions > 3 * STEPS


@needs("valgrind")
def test_calling_itself_hides_nothing(lab):
    deeper = "    if (depth++ == 0) { steps_apply(count, in, out); depth = 0; return; }\n"
    counts, _ = run(lab, source(1.0, "static int depth;\n", deeper + steps.LOOP))
    assert counts.instructions > 6 * STEPS


THREAD = (
    "#include <pthread.h>\nstatic void *work(void *unused) { (void)unused; burn(1000000L); return NULL; }\n"
)
IN_A_THREAD = """\
    pthread_t thread;
    int error = pthread_create(&thread, NULL, work, NULL);
    if (error == 0)
        pthread_join(thread, NULL);
    out[0] = (uint32_t)error;
"""


@needs("valgrind")
def test_no_work_is_done_in_threads_which_are_not_counted(lab):
    _, out = run(lab, source(0.0, THREAD, IN_A_THREAD))
    assert out[0] != 0


@needs("valgrind")
def test_what_goes_wrong_there_is_the_submissions(lab):
    with pytest.raises(CheckFailed, match="on a simulated CPU, wrote 1 bytes past the end of out"):
        run(lab, source(0.0, body=steps.LOOP + "    out[count] = 1;\n"))
