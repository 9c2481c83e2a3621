"""What a lab's tests see of a submission beside its answers: files, text, memory, system calls, and staff's faults."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from grader.lab import Lab, load_lab
from grader.runner import invoke
from grader.runner.invoke import Invocation
from grader.testing import CheckFailed, Library, NotJudged
from grader.testing.subject import Subject, reference_of
from tests.conftest import needs
from tests.testing import steps

PROBE = {
    "probe.h": """\
long probe_size(const char *path);
long probe_sum(const void *bytes, size_t count);
int probe_write(const char *path);
void *probe_map(const char *path);
int probe_user(int times);
""",
    "probe.c": """\
#include <stddef.h>
#include <stdint.h>
#include "steps.h"
#include "probe.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
long probe_size(const char *path) { struct stat about; return stat(path, &about) == 0 ? about.st_size : -1; }
long probe_sum(const void *bytes, size_t count)
{
    long sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += ((const unsigned char *)bytes)[i];
    return sum;
}
int probe_write(const char *path) { return open(path, O_WRONLY | O_CREAT, 0600); }
void *probe_map(const char *path) { return mmap(NULL, 4096, PROT_READ, MAP_SHARED, open(path, O_RDONLY), 0); }
int probe_user(int times)
{
    int user = -1;
    for (int i = 0; i < times; i++)
        user = (int)getuid();
    return user;
}
""",
    "faults.h": "int faults_asked(void);\n",
    "faults.c": """\
#include "faults.h"
#include <stdlib.h>
#include <sys/types.h>
static int asked;
void *__real_malloc(size_t size);
uid_t __wrap_getuid(void) { asked++; return 4242; }
void *__wrap_malloc(size_t size) { return __real_malloc(size); } /* in place of the grader's own */
int faults_asked(void) { return asked; }
""",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    root = tmp_path_factory.mktemp("course")
    steps.course(root)
    contract = steps.CONTRACT.replace("flags: [-O1]", "flags: [-O1], glue: [probe.c], faults: [faults.c]")
    for name, text in {**PROBE, "lab.yaml": contract}.items():
        (root / "labs" / "steps" / name).write_text(text)
    return load_lab("steps", root)


@pytest.fixture(scope="module")
def subject(lab: Lab) -> Iterator[Subject]:
    opened = steps.subject(lab, steps.source(0.0))
    yield opened
    opened.close()
    assert not opened.shelf.exists()


@pytest.fixture
def library(subject: Subject) -> Library:
    return subject.library()


def test_files_on_the_shelf_are_seen_and_cannot_be_written(subject: Subject, library: Library) -> None:
    library.call("probe_user", 1)  # files come and go while the runner is there
    path = subject.shelf / "a file"
    path.write_bytes(bytes(1234))
    assert library.call("probe_size", str(path)) == 1234
    assert library.call("probe_write", str(path)) == -1
    assert library.call("probe_write", str(subject.shelf / "new")) == -1
    path.unlink()
    assert library.call("probe_size", str(path)) == -1


def test_the_reference_sees_the_shelf_and_has_the_labs_glue(lab: Lab, subject: Subject) -> None:
    (subject.shelf / "seen").write_bytes(b"12")
    side = reference_of(lab, subject.tier, (subject.shelf,)).side
    with side.start(1 << 16, 1 << 16) as guest:
        call = Invocation("probe_size", (str(subject.shelf / "seen"),))
        assert invoke.run(guest, side.interface, [call], timeout_s=None)[0] == (2,)


def test_one_that_takes_all_the_memory_it_can_get_is_soon_judged(lab: Lab) -> None:
    """Three times; then no further runner is started for it."""
    hog = "    for (;;) *(volatile char *)malloc(1 << 26) = 1;\n"
    greedy = steps.subject(lab, "#include <stdlib.h>\n" + steps.source(0.0, body=hog))
    given, out = np.zeros(8, np.uint32), np.zeros(8, np.uint32)
    said = []
    for _ in range(5):
        with pytest.raises(CheckFailed) as failed:
            greedy.library().call("steps_apply", 8, given, out)
        said.append(str(failed.value))
    greedy.close()
    assert all("wanted more than 1024 MiB of memory, was refused, and crashed" in words for words in said[:3])
    assert said[3:] == ["not run: it has wanted more memory than the lab allows 3 times"] * 2


def test_text_is_a_c_string_and_bytes_are_bytes(library: Library) -> None:
    assert library.call("probe_sum", b"\x01\x00\x02", 3) == 3
    assert library.call("probe_sum", b"", 0) == 0
    assert library.call("probe_sum", "ab", 3) == ord("a") + ord("b")
    assert library.call("probe_size", "/no/such/file") == -1


@pytest.mark.parametrize("text", [b"1234", "text"])
def test_text_does_not_pass_for_other_arrays(library: Library, text: object) -> None:
    with pytest.raises(TypeError, match="steps_apply, parameter in: text was given"):
        library.call("steps_apply", 1, text, np.zeros(1, np.uint32))
    with pytest.raises(TypeError, match="parameter count: an array was given"):
        library.call("probe_sum", b"", text)


def test_mappings_descriptors_and_memory_are_the_runners(subject: Subject, library: Library) -> None:
    library.call("probe_user", 1)
    path = subject.shelf / "mapped"
    path.write_bytes(bytes(4096))
    before = library.descriptors()
    library.call("probe_map", str(path))
    assert [item.end - item.start for item in library.mappings() if item.path == str(path)] == [4096]
    assert set(library.descriptors().values()) - set(before.values()) == {str(path)}
    assert 0 < library.resident_mib() < library.memory_mib()


@needs("strace")
def test_system_calls_are_counted_by_name(library: Library) -> None:
    values, counts = library.traced([Invocation("probe_user", (0,)), Invocation("probe_user", (123,))])
    assert len(values) == 2 and counts["getuid"] == 123
    assert counts.total() < 130
    assert library.call("probe_user", 1) == values[1]


def test_without_strace_nothing_is_judged(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setattr("grader.runner.observation.shutil.which", lambda name: None)
    with pytest.raises(NotJudged, match="apt-get install strace"):
        library.traced([Invocation("probe_user", (1,))])


def test_staffs_wrappers_are_in_the_faults_build_only(subject: Subject, library: Library) -> None:
    assert library.call("probe_user", 1) != 4242
    faults = subject.library("faults")
    assert faults.call("probe_user", 3) == 4242
    assert faults.call("faults_asked") == 3
    assert faults.call("guest_fail_allocation", -1) == 0
