"""The pure parts of hosting: when a plug-in is left alone, what of its answers is believed, what of its output kept."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materials.records import Feature
from model_plugins.hosting import wire
from model_plugins.hosting.checks import check_feature, check_manifest, check_needs, check_refs, checked_rejection
from model_plugins.hosting.circuit import Circuit
from model_plugins.hosting.limits import HostLimits
from model_plugins.hosting.output_log import LineBudget
from model_plugins.hosting.shared_memory import ArrayRef, SharedMemory
from model_plugins.protocol import ImageMedia, Manifest, ModelRef, TextMedia, VideoMedia

SMALL = HostLimits(max_arrays=3, max_result_bytes=1024 * 1024)
MANIFEST = Manifest(name="letters", version=1, media="text", schema="vector")


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_a_circuit_opens_after_failures_in_a_row_and_its_pauses_grow() -> None:
    clock = Clock()
    circuit = Circuit(HostLimits(failures=3, pause_s=2, max_pause_s=10), clock)
    for failed in (True, True, False, True, True):
        circuit.failed() if failed else circuit.succeeded()
        assert circuit.is_closed
    pauses = []
    for _ in range(5):
        circuit.failed()
        pauses.append(circuit.seconds_left)
        circuit.failed()  # of a call that was on its way: no longer a pause for it
        assert circuit.seconds_left == pauses[-1]
        clock.now += pauses[-1]
        assert not circuit.is_closed
    assert pauses == [2, 4, 8, 10, 10]
    circuit.succeeded()
    assert circuit.is_closed
    circuit.failed(hopeless=True)
    assert circuit.seconds_left == 2


def test_restarts_wait_longer_and_longer_up_to_a_bound() -> None:
    circuit = Circuit(HostLimits(restart_backoff_s=0.25, max_restart_backoff_s=1), Clock())
    delays = []
    for _ in range(6):
        delays.append(circuit.restart_delay)
        circuit.failed(lost=True)
    assert delays == [0, 0, 0.25, 0.5, 1, 1]
    circuit.succeeded()
    assert circuit.restart_delay == 0


refs = st.builds(
    ArrayRef,
    st.just(""),
    st.text(max_size=3),
    st.sampled_from(["u1", "<f4", "|b1", "S0", "U3", "O", "V8", "i4,i4", "M8[s]", "f16", "<f8", "x", "S99999999"]),
    st.lists(st.integers(-2, 2**40) | st.integers(0, 5), max_size=4).map(tuple),
    st.integers(-5, 2**45) | st.integers(0, 1000),
)


@given(st.lists(refs, max_size=5))
def test_whatever_a_child_answers_is_refused_or_read_within_bounds(answer: list[ArrayRef]) -> None:
    memory = SharedMemory.create()
    try:
        check_refs(answer, SMALL)
        arrays = memory.read(answer)
    except (ValueError, TypeError):
        return
    finally:
        memory.close()
    assert len(arrays) <= 3
    assert sum(array.nbytes for array in arrays) <= 1024 * 1024


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([ArrayRef("", str(number), "u1", (1,), 0) for number in range(4)], "4 arrays"),
        ([ArrayRef("", "x" * 200, "u1", (1,), 0)], "200 characters"),
        ([ArrayRef("", "x", "O", (1,), 0)], "dtype 'O'"),
        ([ArrayRef("", "x", "i4,i4", (1,), 0)], "dtype 'i4,i4'"),
        ([ArrayRef("", "x", "u1", (-1,), 0)], "impossible shape"),
        ([ArrayRef("", "x", "u1", (1,), -8)], "impossible shape"),
        ([ArrayRef("", "x", "u1", (1,) * 40, 0)], "impossible shape"),
        ([ArrayRef("", "x", "S0", (2**60,), 0)], "more than 1 MiB"),
        ([ArrayRef("", name, "u1", (2**19 + 1,), 0) for name in "ab"], "more than 1 MiB"),
        ([ArrayRef("", "x", "u1", (1,), 0)] * 2, "two arrays of one name"),
    ],
)
def test_an_answer_that_cannot_be_says_why(answer: list[ArrayRef], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_refs(answer, SMALL)


def test_a_feature_is_one_array_of_numbers_of_the_declared_schema() -> None:
    check_feature([ArrayRef("", "vector", "<f4", (3,), 0)], MANIFEST)
    for wrong in (
        [],
        [ArrayRef("", "keypoints", "<f4", (3,), 0)],
        [ArrayRef("", "vector", "S4", (3,), 0)],
        [ArrayRef("", "vector", "<f4", (3,), 0)] * 2,
    ):
        with pytest.raises(ValueError, match=r"feature|array"):
            check_feature(wrong, MANIFEST)


def test_what_a_plugin_needs_and_how_it_refuses_is_bounded() -> None:
    check_needs(("image-tags", "text-words"))
    for wrong in (("../x",), ("a" * 200,), ("a",) * 65):
        with pytest.raises(ValueError, match="no possible name"):
            check_needs(wrong)
    assert checked_rejection("too_rude", "it is\ntoo rude") == ("too_rude", "it is too rude")
    code, sentence = checked_rejection("x\ninjected: line", "y" * 50_000)
    assert code == "rejected_by_plugin"
    assert len(sentence) == 2000


MODEL = ModelRef("letters", {"codes": ("INT32", (4,))}, ("sum",))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Letters"},
        {"name": "a" * 200},
        {"name": "a/b"},
        {"version": 0},
        {"version": 2**40},
        {"schema": ""},
        {"summary": "x" * 3000},
        {"min_side": -1},
        {"model": ModelRef("", MODEL.inputs, MODEL.outputs)},
        {"model": ModelRef("../x", MODEL.inputs, MODEL.outputs)},
        {"model": ModelRef("x", {}, MODEL.outputs)},
        {"model": ModelRef("x", MODEL.inputs, ())},
        {"model": ModelRef("x", MODEL.inputs, MODEL.outputs, max_batch=0)},
        {"model": ModelRef("x", {"codes": ("INT32", (-2,))}, MODEL.outputs)},
    ],
)
def test_a_manifest_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    check_manifest(msgspec.structs.replace(MANIFEST, model=MODEL))
    with pytest.raises(ValueError, match=r".+"):
        check_manifest(msgspec.structs.replace(MANIFEST, **change))


@given(st.text())
def test_texts_travel_whole_even_broken_ones(text: str) -> None:
    text += "\ud83d"
    ask, arrays = wire.pack_media(1, TextMedia(text))
    assert wire.unpack_media(ask, [array for _, _, array in arrays]) == TextMedia(text)


def test_media_and_features_travel_whole() -> None:
    still = ImageMedia(np.arange(12, dtype=np.uint8).reshape(2, 2, 3), 20, 10)
    silent = VideoMedia(np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1), 1.5, 2, 2)
    for media in (still, silent):
        ask, arrays = wire.pack_media(1, media)
        back = wire.unpack_media(ask, [array for _, _, array in arrays])
        for field in media.__struct_fields__:
            np.testing.assert_array_equal(getattr(back, field), getattr(media, field))
    features = {"a": Feature.of("vector", np.ones(3, np.float32)), "b": Feature.of("json", np.zeros(0, np.uint8))}
    memory = SharedMemory.create()
    try:
        ask, packed = wire.pack_features(2, features, "text")
        ask = msgspec.structs.replace(ask, arrays=memory.write(packed))
        assert wire.unpack_features(ask, memory.read(ask.arrays)) == (features, "text")
    finally:
        memory.close()


def test_a_chatty_plugin_gets_so_many_lines_a_minute_and_the_rest_is_counted() -> None:
    clock = Clock()
    budget = LineBudget(3, clock)
    assert [budget.take()[0] for _ in range(10)] == [True] * 3 + [False] * 7
    clock.now += 61
    assert budget.take() == (True, 7)
    assert budget.take() == (True, 0)
