"""Calls with arrays: what goes in, what comes back, and what is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.runner import invoke
from grader.runner.channel import Handle
from grader.runner.host import Guest, GuestFailed
from grader.runner.invoke import Damage, Invocation
from tests.fixtures import tiny

EDGES = ("end", "start", "inside")


@pytest.fixture
def call(honest, interface):
    def run(function: str, *arguments: object, edge: str = "end"):
        return invoke.run(honest, interface, [Invocation(function, arguments)], edge=edge, timeout_s=None)[0][
            0
        ]

    return run


def test_numbers(call) -> None:
    assert call("tiny_add", 2, 3) == 5
    assert call("tiny_add", 2**31 - 1, 1) == -(2**31)
    assert call("tiny_add", np.int32(-2), np.int64(-3)) == -5
    assert call("tiny_mix", 2**64 - 1, 0) == 2**64 - 1
    assert call("tiny_mix", 2**63, -1) == 2**63 - 1
    assert call("tiny_mix", 0, -(2**63)) == 2**63


@pytest.mark.parametrize("edge", EDGES)
def test_an_input_is_read_and_an_output_is_written(call, edge: str) -> None:
    values = np.arange(10, dtype=np.float64)
    assert call("tiny_mean", values, 10, edge=edge) == 4.5
    floats = np.arange(5, dtype=np.float32)
    assert call("tiny_scale", floats, 5, 2.0, edge=edge) is None
    assert floats.tolist() == [0, 2, 4, 6, 8]
    given, out = np.array([3, -1, 7], np.int32), np.zeros(3, np.int32)
    call("tiny_copy", given, out, 3, edge=edge)
    assert out.tolist() == given.tolist() == [3, -1, 7]


@pytest.mark.parametrize("edge", EDGES)
def test_empty_arrays(call, edge: str) -> None:
    assert call("tiny_mean", np.empty(0), 0, edge=edge) == 0
    call("tiny_copy", np.empty(0, np.int32), np.empty(0, np.int32), 0, edge=edge)


@pytest.mark.parametrize("edge", EDGES)
def test_a_struct_by_pointer(call, interface, edge: str) -> None:
    bounds = interface.ffi.new("tiny_bounds *")
    call("tiny_find_bounds", np.array([4, -2, 7], np.int32), 3, bounds, edge=edge)
    assert (bounds.low, bounds.high, bounds.mean) == (-2, 7, 3.0)
    assert call("tiny_inside", bounds, 7, edge=edge) == 1
    assert call("tiny_inside", bounds, 8, edge=edge) == 0


def test_a_pointer_that_it_returns_is_a_handle_for_later_calls(call) -> None:
    stack = call("tiny_stack_new", 2)
    assert isinstance(stack, Handle)
    assert [call("tiny_stack_push", stack, value) for value in (1, 2, 3)] == [0, 0, -1]
    assert call("tiny_stack_size", stack) == 2
    other = call("tiny_stack_new", 5)
    assert other != stack and call("tiny_stack_size", other) == 0
    assert call("tiny_stack_free", stack) is None
    assert call("tiny_stack_new", 2**40) is None  # NULL


def test_several_calls_in_one_batch(honest, interface) -> None:
    values = np.array([1.0, 3.0])
    batch = [
        Invocation("tiny_mean", (values, 2)),
        Invocation("tiny_add", (1, 1)),
        Invocation("tiny_mean", (values, 1)),
    ]
    assert invoke.run(honest, interface, batch, timeout_s=None)[0] == (2.0, 2, 1.0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3000), edge=st.sampled_from(EDGES))
def test_every_byte_arrives_and_comes_back(call, values: list[int], edge: str) -> None:
    given, out = np.array(values, np.int32), np.full(len(values), 9, np.int32)
    call("tiny_copy", given, out, len(values), edge=edge)
    assert np.array_equal(given, values) and np.array_equal(out, given)


def test_skewed_and_shifted_places(honest, interface) -> None:
    given, out = np.arange(100, dtype=np.int32), np.zeros(100, np.int32)
    honest.wait_until_ready()
    for page, skew in ((0, 0), (2, 64), (5, 4032)):
        staged = invoke.stage(
            honest,
            interface,
            [Invocation("tiny_copy", (given, out, 100))],
            "inside",
            lambda skew=skew: skew,
            page,
        )
        assert all(item.block.offset % 4096 == skew for item in staged.placed)
        out[:] = 0
        invoke.write(honest, interface, staged)
        honest.call(staged.calls, staged.windows)
        invoke.read_back(honest, interface, staged)
        assert np.array_equal(given, out)


def test_the_room_that_is_asked_for_is_enough(tier, honest_spec, interface) -> None:
    from dataclasses import replace

    calls = [
        Invocation("tiny_copy", (np.zeros(n, np.int32), np.zeros(n, np.int32), n)) for n in (0, 1, 1024, 5000)
    ]
    room = invoke.needed_bytes(interface, calls)
    with Guest(tier, replace(honest_spec, arena_bytes=room)) as guest:
        for edge in EDGES:
            invoke.run(guest, interface, calls, edge=edge, timeout_s=None)


def test_arenas_that_are_too_small_are_told(honest, interface) -> None:
    large = np.zeros(1 << 20, np.int32)
    with pytest.raises(MemoryError, match="too small for this call"):
        invoke.run(honest, interface, [Invocation("tiny_copy", (large, large, 3))], timeout_s=None)


class TestMistakesOfALab:
    """They are told by the names of function and parameter, before anything runs."""

    @pytest.mark.parametrize(
        ("function", "arguments", "words"),
        [
            ("tiny_add", (1,), "tiny_add takes 2 arguments, not 1"),
            ("tiny_add", (1, 2, 3), "tiny_add takes 2 arguments, not 3"),
            ("tiny_add", (1, 2.5), "tiny_add, parameter b: 2.5 is not a int"),
            ("tiny_add", (1, None), "tiny_add, parameter b: None is not a int"),
            ("tiny_add", (1, "2"), "tiny_add, parameter b"),
            ("tiny_add", (2**31, 0), "tiny_add, parameter a"),
            ("tiny_mix", (-1, 0), "tiny_mix, parameter x"),
            ("tiny_mix", (2**64, 0), "tiny_mix, parameter x"),
            ("tiny_mix", (0, 2**63), "tiny_mix, parameter y"),
            ("tiny_add", (np.zeros(2), 1), "parameter a: an array was given, but it is a int"),
            (
                "tiny_mean",
                (np.zeros(2, np.float32), 2),
                r"parameter values: double \* does not point to float32",
            ),
            (
                "tiny_scale",
                (np.zeros(2, np.int32), 2, 1.0),
                r"parameter values: float \* does not point to int32",
            ),
            ("tiny_copy", (np.zeros(2, np.float32), np.zeros(2, np.int32), 2), "parameter in: .*float32"),
            ("tiny_mean", ([1.0, 2.0], 2), "tiny_mean, parameter values"),
            ("tiny_mean", (np.zeros((4, 4))[:, 1], 4), "parameter values: the array is not contiguous"),
            ("tiny_scale", (np.zeros(2, np.float32), 2, "x"), "tiny_scale, parameter factor"),
            ("tiny_scale", (np.zeros(2, np.float32), 2, None), "tiny_scale, parameter factor"),
            ("tiny_stack_push", (7, 1), "tiny_stack_push, parameter stack"),
        ],
    )
    def test_told(self, call, function: str, arguments: tuple[object, ...], words: str) -> None:
        with pytest.raises(TypeError, match=words):
            call(function, *arguments)
        assert call("tiny_add", 1, 1) == 2  # nobody was hurt

    def test_an_output_that_cannot_be_written(self, call) -> None:
        frozen = np.zeros(2, np.float32)
        frozen.flags.writeable = False
        with pytest.raises(TypeError, match="parameter values: the function writes here"):
            call("tiny_scale", frozen, 2, 1.0)
        assert call("tiny_mean", np.broadcast_to(1.0, 1), 1) == 1  # an input may be read-only

    def test_a_struct_of_another_kind(self, call, interface) -> None:
        with pytest.raises(TypeError, match="tiny_inside, parameter bounds"):
            call("tiny_inside", interface.ffi.new("int[4]"), 1)
        with pytest.raises(TypeError, match="tiny_inside, parameter bounds"):
            call("tiny_inside", interface.ffi.new("tiny_bounds *")[0], 1)


class TestDamage:
    def test_a_write_past_the_end_is_noticed_inside_the_pages(self, hostile, act) -> None:
        with pytest.raises(Damage, match="bytes past the end of output"):
            act(hostile, 13, edge="inside")
        with pytest.raises(Damage, match=r"^wrote 1 bytes past the end of output"):
            act(hostile, 1, edge="start")

    def test_a_write_before_the_start_is_noticed_inside_the_pages(self, hostile, act) -> None:
        with pytest.raises(Damage, match="wrote 5 bytes before the start of output"):
            act(hostile, 12)

    def test_an_honest_call_afterwards_is_fine(self, hostile, act) -> None:
        with pytest.raises(Damage):
            act(hostile, 12)
        assert act(hostile, 0)[0] == 0


class TestTheFirstByteOutside:
    """Arrays lie against closed pages: the words name the array and the distance."""

    @pytest.mark.parametrize(
        ("deed", "edge", "words"),
        [
            (1, "end", "it wrote past the end of output$"),
            (2, "start", "it wrote before the start of output$"),
            (3, "end", "it wrote to input, which is const"),
            (3, "inside", "it wrote to input, which is const"),
            (4, "end", "it read past the end of input$"),
            (5, "end", "it wrote through a NULL pointer"),
            (6, "end", "the stack overflowed"),
            (8, "end", "a misaligned address in an aligned vector load or store"),
        ],
    )
    def test_is_named(self, hostile, act, deed: int, edge: str, words: str) -> None:
        with pytest.raises(GuestFailed, match=words) as failed:
            act(hostile, deed, edge=edge)
        assert failed.value.kind == "crashed"
        assert failed.value.crash is not None and failed.value.crash.signal == 11

    @pytest.mark.parametrize(
        ("deed", "words"), [(7, "SIGSEGV"), (9, "SIGFPE"), (10, "SIGILL"), (22, "SIGABRT")]
    )
    def test_a_crash_elsewhere_gets_no_invented_place(self, hostile, act, deed: int, words: str) -> None:
        with pytest.raises(GuestFailed, match=words) as failed:
            act(hostile, deed)
        for invented in ("past the end", "before the start", "NULL", "stack", "const", "misaligned"):
            assert invented not in failed.value.summary

    def test_inputs_stay_as_they_were(self, honest, interface) -> None:
        given = np.arange(4, dtype=np.int32)
        invoke.run(
            honest, interface, [Invocation("tiny_copy", (given, np.zeros(4, np.int32), 4))], timeout_s=None
        )
        assert given.tolist() == [0, 1, 2, 3]

    def test_a_const_array_cannot_be_made_writable(self, hostile, act) -> None:
        assert act(hostile, 14)[0] == 13  # EACCES

    def test_arenas_cannot_be_resized_nor_inputs_written_by_their_descriptors(self, hostile, act) -> None:
        hostile.wait_until_ready()
        sizes = hostile.inputs.size, hostile.outputs.size
        with pytest.raises(
            Damage
        ):  # the outputs' first page is the submission's to write, and it did: one byte
            act(hostile, 15)
        value = (
            256 + 4096 + 65536
        )  # mapping, writing and punching worked for one descriptor, resizing for none
        assert act(hostile, 15, edge="start", output=np.zeros(1024, np.float32))[0] == value
        assert (hostile.inputs.size, hostile.outputs.size) == sizes
        assert act(hostile, 0)[0] == 0


def test_an_output_keeps_what_was_not_written(tier, interface) -> None:
    code = '#include "tiny.h"\nint tiny_act(int w, const float *i, float *o, size_t n)'
    code += " { (void)i; o[n - 1] = w; return 0; }"
    with tiny.guest(tier, tiny.source(code)) as guest:
        out = np.arange(4, dtype=np.float32)
        invoke.run(
            guest, interface, [Invocation("tiny_act", (9, np.zeros(1, np.float32), out, 4))], timeout_s=None
        )
        assert out.tolist() == [0, 1, 2, 9]
