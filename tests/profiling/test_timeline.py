"""Horovod's timelines: a real one, whole and cut, and what is none.

horovod_timeline.json was written by Horovod 0.28.1 (Gloo, 2 ranks): four times an allreduce of four grouped tensors, three of
them float32 [100] and one float32 [1000, 1000]. Before the third time rank 1 slept for 0.1 s.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from profiling.traces import timeline

REAL = Path(__file__).with_name("horovod_timeline.json")


def test_a_real_timeline():
    found = timeline.read(REAL)
    assert sorted(tensor.name for tensor in found.tensors) == ["g_1of4", "g_2of4", "g_3of4", "g_4of4"]
    for tensor in found.tensors:
        large = tensor.name == "g_4of4"
        assert (tensor.count, tensor.shape) == (4, "[1000, 1000]" if large else "[100]")
        assert tensor.bytes == (4_000_000 if large else 400)
        assert (
            tensor.seconds["negotiate"] > 0.1 > sum(tensor.seconds[phase] for phase in ("queue", "fuse", "allreduce"))
        )
        assert all(tensor.seconds[phase] > 0 for phase in timeline.PHASES)
    # Grouped tensors travel together: each phase takes place four times, with a copy into the buffer and one out of it.
    assert {phase: len(spans) for phase, spans in found.phases.items()} == {
        "negotiate": 4,
        "queue": 4,
        "fuse": 8,
        "allreduce": 4,
    }
    third = found.phases["negotiate"][2]
    assert third[1] - third[0] == pytest.approx(0.1, abs=0.02)
    assert timeline.within(found, third[0], third[1])["negotiate"] == pytest.approx(third[1] - third[0])
    assert timeline.within(found, third[0] - 2, third[0] - 1) == dict.fromkeys(timeline.PHASES, 0.0)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, REAL.stat().st_size))
def test_a_timeline_that_is_cut_short_is_read_as_far_as_it_goes(tmp_path_factory: pytest.TempPathFactory, size: int):
    whole = timeline.read(REAL)
    path = tmp_path_factory.mktemp("cut") / "cut.json"
    path.write_bytes(REAL.read_bytes()[:size])
    try:
        cut = timeline.read(path)
    except Refusal as refusal:
        assert "\n" not in str(refusal) and str(path) in str(refusal)
        return
    counts = {tensor.name: tensor.count for tensor in whole.tensors}
    for tensor in cut.tensors:
        assert 1 <= tensor.count <= counts[tensor.name]
    for phase, spans in cut.phases.items():
        assert len(spans) <= len(whole.phases[phase]) + 3
        np.testing.assert_array_less(spans[:, 0], spans[:, 1])


def test_a_tensor_may_have_the_name_of_an_argument(tmp_path: Path):
    path = tmp_path / "timeline.json"
    path.write_text(REAL.read_text().replace("g_1of4", "embedding/start_time_since_epoch_in_micros"))
    named = {"ph": "M", "name": "process_name", "pid": 9, "args": {"name": "start_time"}}
    path.write_text(json.dumps([named, *json.loads(path.read_text())]))
    assert timeline.read(path).phases["allreduce"].tolist() == timeline.read(REAL).phases["allreduce"].tolist()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is not a timeline of Horovod: it is not even the beginning of a list of events"),
        ("not JSON }}}}}}", "is not a timeline of Horovod: it is not even the beginning"),
        ('{"traceEvents": []}', "is not a timeline of Horovod: it is not a list of events"),
        ("[1]", "it is not a list of events"),
        (
            '[{"args": {"start_time_since_epoch_in_micros": 5}}, {"ph": "B", "ts": 1, "pid": []}]',
            "not a list of events",
        ),
        ('[{"ph": "B", "name": "step", "ts": 1, "pid": 1}]', "does not say when it began"),
        (
            '[{"name": "process_name", "ph": "M", "pid": 0, "args": {"start_time_since_epoch_in_micros": 5}}]',
            "has no whole collective",
        ),
    ],
)
def test_what_is_none_is_refused_in_a_line(tmp_path: Path, text: str, line: str):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(Refusal, match=line):
        timeline.read(path)
