"""Steps taken apart, on made-up captures; and python -m profiling trace on the tables that ranks have left.

Real captures are in tests/workloads/test_tracing.py. Those of a GPU are made up here after TensorFlow's schema of planes, as
no GPU runs the tests.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal, command
from launch.record.rundir import RunDir
from launch.record.writing import append_line, publish_json
from profiling.__main__ import main
from profiling.traces import parts, store, xplane
from profiling.traces.operations import Operation
from profiling.traces.parts import Step
from profiling.traces.xplane import Capture, Event, Line

RUN = 77  # the id of what the loop runs


def capture(loop: list[Event] = (), threads: list[Event] = (), stream: list[Event] = (), steps=((0, 1),)) -> Capture:
    """A training's: events of its loop, of the threads of its operations, and of a stream of its GPU."""
    marks = [Event(parts.STEP, start, end, {"step_num": number}) for number, (start, end) in enumerate(steps, start=5)]
    marks.append(Event("FunctionRun", 0, 0, {"id": RUN}))
    lines = [
        Line(xplane.HOST, "python", sorted([*marks, *loop], key=lambda event: event.start)),
        Line(xplane.HOST, "tf_Compute", sorted(threads, key=lambda event: event.start)),
    ]
    if stream:
        lines.append(Line("/device:GPU:0", "Stream #13(Compute)", list(stream)))
    return Capture(1000.0, lines)


def process(start: float, end: float, run: int = RUN) -> Event:
    return Event("ExecutorState::Process", start, end, {"id": run})


def collective(start: float, end: float) -> list[Event]:
    stats = {"kernel_type": "HorovodGroupedAllreduce", "name": "gradients", "step_id": RUN}
    return [
        Event("ExecutorState::ProcessAsync::Start", start, start, stats),
        Event("ExecutorState::ProcessAsync::Done", end, end, stats),
    ]


def only(table: parts.Table) -> dict[str, float]:
    (step,) = table.steps
    return {part: round(seconds, 6) for part, seconds in step.parts.items() if seconds}


def test_a_step_on_a_cpu():
    table = parts.table(
        capture(
            loop=[Event("input", 0, 0.2, {}), Event("KernelAndDeviceFunc::Run", 0.25, 0.95, {})],
            threads=[
                process(0.3, 0.5),
                Event("dense/MatMul:MatMul", 0.32, 0.5, {}),
                process(0.5, 0.52),
                *collective(0.52, 0.8),
                process(0.7, 0.75),
                Event("adam/Mul:Mul", 0.7, 0.75, {}),
                # The input's own work, ahead of the step that needs it, is no computing of this step.
                process(0.8, 0.9, run=78),
                Event("decode:DecodePng", 0.8, 0.9, {}),
            ],
        )
    )
    assert only(table) == {
        "input": 0.2,
        "compute": 0.23,
        "communication": 0.23,  # 0.52 to 0.8 without the update that ran meanwhile
        "host": pytest.approx(0.05 + 0.02 + 0.02 + 0.05),  # Python before and after; scheduling
        "idle": pytest.approx(0.05 + 0.15),
    }
    step = table.steps[0]
    assert (step.number, step.start, step.seconds) == (5, 1000.0, 1.0)
    assert table.steps[0].hidden == pytest.approx(0.05)
    assert table.operations == [
        Operation("dense/MatMul", "MatMul", 1, 0.18),
        Operation("adam/Mul", "Mul", 1, 0.05),
    ]


def test_two_threads_of_one_name_are_two_threads():
    lines = capture().lines
    for place in (0.1, 0.6):
        events = [process(place, place + 0.3), Event("dense/MatMul:MatMul", place, place + 0.3, {})]
        lines.append(Line(xplane.HOST, "tf_Compute", events))
    assert only(parts.table(Capture(1000.0, lines)))["compute"] == 0.6


def test_a_step_on_a_gpu():
    table = parts.table(
        capture(
            loop=[Event("input", 0, 0.1, {})],
            # On a GPU's host an operation is only launched.
            threads=[process(0.1, 0.3), Event("conv:Conv2D", 0.1, 0.3, {})],
            stream=[
                Event("MemcpyH2D", 0.15, 0.2, {}),
                Event("volta_sgemm_128x64_nn", 0.25, 0.6, {}),
                Event("ncclDevKernel_AllReduce_Sum_f32_RING_LL(...)", 0.5, 0.8, {}),
                Event("MemcpyD2H", 0.9, 0.95, {}),
            ],
        )
    )
    assert only(table) == {
        "input": 0.15,
        "compute": 0.35,
        "communication": 0.2,
        "host": pytest.approx(0.3),
    }
    assert table.steps[0].hidden == pytest.approx(0.1)
    assert table.types == [Operation("", "volta_sgemm_128x64_nn", 1, 0.35)]


def test_a_step_that_is_compiled():
    table = parts.table(capture(loop=[Event("tf.function-graph_building", 0.1, 0.3, {})], steps=((0, 1), (1, 1.5))))
    first, second = table.steps
    assert first.parts["compile"] == 1, "what the host does in such a step it does for that"
    assert second.parts["compile"] == 0 and second.parts["host"] == 0.5


def test_a_collective_that_is_never_done_lasts_to_the_end():
    events = collective(0.4, 0.5)[:1]
    assert only(parts.table(capture(threads=events)))["communication"] == pytest.approx(0.6)


MOMENT = st.floats(0, 4, allow_nan=False, width=16)
EVENTS = st.lists(
    st.tuples(
        MOMENT,
        MOMENT,
        st.sampled_from(
            [
                "input",
                "a:Mul",
                "ExecutorState::Process",
                "tf.function-graph_building",
                "KernelAndDeviceFunc::Run",
                "other",
            ]
        ),
    ).map(lambda drawn: Event(drawn[2], min(drawn[:2]), max(drawn[:2]), {"id": RUN})),
    max_size=12,
)


@settings(deadline=None)
@given(EVENTS, EVENTS, st.lists(st.tuples(MOMENT, MOMENT).map(sorted), max_size=3))
def test_the_parts_of_a_step_add_up_to_it(loop: list[Event], threads: list[Event], collectives: list):
    threads = [*threads, *(event for start, end in collectives for event in collective(start, end))]
    table = parts.table(capture(loop=loop, threads=threads, steps=((0, 1), (1.5, 1.5), (2, 4))))
    assert [step.number for step in table.steps] == [5, 6, 7]
    for step in table.steps:
        assert list(step.parts) == list(parts.PARTS)
        assert all(seconds >= 0 for seconds in step.parts.values())
        assert sum(step.parts.values()) == pytest.approx(step.seconds, abs=1e-8)
        assert 0 <= step.hidden <= step.seconds + 1e-9


def test_a_capture_without_marked_steps_is_refused():
    with pytest.raises(Refusal, match="has no mark of a step"):
        parts.table(capture(steps=()))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Two ranks of different nodes that were traced for two steps, in the second attempt."""
    run = RunDir(tmp_path / "run")
    run.create()
    publish_json(run.run_json, {})
    run.traces.mkdir()
    for rank, waited in ((0, 0.1), (4, 0.3)):
        shares = {
            "compute": 0.9 - waited,
            "communication": waited,
            "input": 0.1,
            "host": 0.0,
            "compile": 0.0,
            "idle": 0.0,
        }
        steps = [Step(number, 100.0 + number, 1.0, shares, 0.05) for number in (20, 21)]
        operations = [Operation("conv", "Conv2D", 4, 0.8), Operation("dense", "MatMul", 2, 0.1)]
        types = [Operation("", "Conv2D", 4, 0.8), Operation("", "MatMul", 2, 0.1)]
        store.write(run, rank // 4, store.RankTrace(rank, 2, steps, operations, types))
    return run


def said(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    status = main(["trace", *map(str, words)])
    return status, *capsys.readouterr()


def test_what_is_no_trace_is_named_and_hides_none(run: RunDir, capsys: pytest.CaptureFixture):
    whole = said(capsys, run.path)[1]
    os.mkfifo(run.traces / "node7.jsonl")
    line = json.loads((run.traces / "node0.jsonl").read_text())
    odd = [
        line | {"rank": "0"},
        line | {"steps": []},
        line | {"steps": [line["steps"][0] | {"seconds": None}]},
        line | {"steps": [1]},
    ]
    (run.traces / "node8.jsonl").write_text("".join(json.dumps(each) + "\n" for each in odd))
    (run.traces / "horovod1x.json").write_text("[]")
    (run.traces / "plugins" / "profile" / "attempt").mkdir(parents=True)
    (run.traces / "plugins" / "profile" / "attempt" / "rank.xplane.pb").write_text("")
    status, out, err = said(capsys, run.path)
    assert (status, err) == (0, "") and out.startswith(whole.rstrip("\n"))
    assert out.count("a line of node8.jsonl is damaged") == 4 and "node7.jsonl is damaged (a pipe" in out


def test_the_table(run: RunDir, capsys: pytest.CaptureFixture):
    status, out, err = said(capsys, run.path)
    assert (status, err) == (0, "")
    assert out.splitlines()[:5] == [
        f"{run.path}, attempt 2",
        "",
        "rank   steps  ms per step  compute  communication  input  host  compile  idle  hidden",
        "   0  20..21      1000.00    80.0%          10.0%  10.0%  0.0%     0.0%  0.0%    5.0%",
        "   4  20..21      1000.00    60.0%          30.0%  10.0%  0.0%     0.0%  0.0%    5.0%",
    ]
    assert "   400.00       50.0%     4  Conv2D  conv" in out
    assert "what rank 4 computed" in said(capsys, run.path, "--rank", 4)[1]
    rows = [line.split() for line in said(capsys, run.path, "--steps")[1].splitlines()]
    assert ["4", "21", "1000.00", "600.00", "300.00", "100.00", "0.00", "0.00", "0.00", "50.00"] in rows
    document = json.loads(said(capsys, run.path, "--json")[1])
    assert [rank["shares"]["communication"] for rank in document["ranks"]] == pytest.approx([0.1, 0.3])
    assert [step["number"] for step in document["ranks"][1]["steps"]] == [20, 21]


def test_the_table_needs_no_tensorflow(run: RunDir):
    code = (
        "import sys; from profiling.__main__ import main; status = main(sys.argv[1:]);"
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, "trace", run.path], stdout=subprocess.DEVNULL).returncode == 0


def test_what_cannot_be_read_is_named(run: RunDir, capsys: pytest.CaptureFixture):
    append_line(run.traces / "node0.jsonl", {"rank": 1, "attempt": 2, "steps": []})
    run.timeline(2).write_text("[")
    status, out, _ = said(capsys, run.path)
    assert status == 0
    assert out.splitlines()[-2:] == [
        "a line of node0.jsonl is damaged and passed over",
        f"left out: {run.timeline(2)} is not a timeline of Horovod: it is not even the beginning of a list of events",
    ]


def test_refusals(run: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture):
    other = RunDir(tmp_path / "other")
    other.create()
    publish_json(other.run_json, {})
    for words, line in (
        ((run.path, "--attempt", 1), f"attempt 1 of {run.path} has no traces: give one of 2"),
        ((run.path, "--rank", 1), "rank 1 was not traced: give one of 0, 4 as --rank"),
        (
            (other.path,),
            f"there are no traces in {other.traces}: ask for them with {command('WORKLOAD --trace 20..30')}",
        ),
        (
            (tmp_path / "none",),
            f"{tmp_path / 'none'} is not a run: it has no run.json; give the folder of a run",
        ),
    ):
        assert said(capsys, *words) == (2, "", f"profiling: {line}\n")
