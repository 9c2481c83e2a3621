"""A lab's reference is a build like a submission's."""

from __future__ import annotations

import numpy as np
import pytest

from grader.runner import invoke
from grader.runner.host import Guest, GuestFailed, GuestSpec
from grader.runner.invoke import Invocation
from grader.toolchain import module, reference
from tests.fixtures import tiny


@pytest.fixture
def guest(tier):
    built = reference.prepare(tiny.lab())
    names = built.module.interface.names
    with Guest(
        tier, GuestSpec(built.module.folder, built.folder, names, arena_bytes=(1 << 16, 1 << 16))
    ) as started:
        yield started, built.module.interface


def test_it_answers_the_labs_functions_and_says_who_it_is(guest) -> None:
    started, interface = guest
    text = np.zeros(64, np.uint8)
    calls = [Invocation("tiny_mean", (np.array([1.0, 2.0]), 2)), Invocation("reference_text", (0, text, 64))]
    values, _ = invoke.run(started, interface, calls, timeout_s=None)
    assert values == (1.5, None)
    assert bytes(text).rstrip(b"\0") == b"a loop 1.0"
    invoke.run(started, interface, [Invocation("reference_text", (1, text, 64))], timeout_s=None)
    assert bytes(text).split(b"\0")[0] == b"any"


def test_the_cores_peak_can_be_measured(guest) -> None:
    started, interface = guest
    values, timing = invoke.run(started, interface, [Invocation("probe_fma", (1000,))], timeout_s=None)
    assert np.isfinite(values[0]) and timing.cpu_s > 0


def test_what_it_lacks_fails_only_when_it_is_called(guest) -> None:
    started, interface = guest
    with pytest.raises(GuestFailed, match="instead of returning"):
        invoke.run(started, interface, [Invocation("tiny_add", (1, 2))], timeout_s=None)


def test_it_is_built_once(own_cache, monkeypatch) -> None:
    first = reference.prepare(tiny.lab())
    assert (first.folder / module.LIBRARY).is_file()
    monkeypatch.setattr(reference, "_build", lambda *_: pytest.fail("built again"))
    assert reference.prepare(tiny.lab()) == first
    monkeypatch.setattr(reference, "_FLAGS", (*reference._FLAGS, "-g"))
    with pytest.raises(pytest.fail.Exception, match="built again"):
        reference.prepare(tiny.lab())


def changed(**fields: object):
    lab = tiny.lab()
    assert lab.reference is not None
    return lab.model_copy(update={"reference": lab.reference.model_copy(update=fields)})


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(RuntimeError, match="pip install no-such-blas"):
        reference.prepare(changed(package="no-such-blas"))


def test_a_library_that_is_not_installed_is_named() -> None:
    with pytest.raises(reference.Missing, match="apt-get install libno-such-thing-dev"):
        reference.prepare(changed(libraries=("no-such-thing",)))


def test_a_lab_without_a_reference_says_so() -> None:
    with pytest.raises(RuntimeError, match="tiny has no reference"):
        reference.prepare(tiny.lab().model_copy(update={"reference": None}))


def test_a_reference_that_does_not_compile_shows_the_compilers_words(own_cache, tmp_path) -> None:
    (tmp_path / "reference.c").write_text("int broken(\n")
    with pytest.raises(RuntimeError, match=r"the reference of tiny does not compile(.|\n)*error"):
        reference.prepare(tiny.lab().model_copy(update={"folder": tmp_path}))
