"""Traces of real trainings: where a known delay appears, which steps are found, and that a trace costs no training."""

import signal
import time
from pathlib import Path

import pytest
import ranks
from launched import launch

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from profiling.traces import parts, store
from profiling.traces.document import document
from workloads.api import Training
from workloads.training import trace_window

PAUSE = 0.4  # seconds that a batch takes, of steps of some milliseconds


def made(folder: Path) -> RunDir:
    run = RunDir(folder)
    run.create()
    publish_json(run.run_json, {})
    return run


def records(run: RunDir, rank: int = 0) -> list[dict]:
    return [line for line in read_lines(run.steps / "node0.jsonl") if line["rank"] == rank]


@pytest.fixture(scope="module", params=ranks.SLOW_ON_JAX)
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """One rank that waits for its input, traced from the step that is compiled on."""
    run = made(tmp_path_factory.mktemp("alone") / "run")
    options = ("--epochs=1", "--examples=512", f"--pause={PAUSE}", "--trace=1..8")
    started = ranks.train(1, run.path, *options, engine=request.param)
    assert started.wait() == [0], started.output()
    return run


@pytest.fixture(scope="module", params=ranks.SLOW_ON_JAX)
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Two ranks, of which rank 1 is late to every step, with Horovod's timeline where there is one."""
    run = made(tmp_path_factory.mktemp("together") / "run")
    options = ("--epochs=1", "--examples=768", f"--pause={PAUSE}", "--slow=1", "--trace=6..9", "--trace-ranks=all")
    timeline = ["--timeline"] if request.param == "horovod" else []
    started = ranks.train(2, run.path, *options, *timeline, engine=request.param)
    assert started.wait() == [0, 0], started.output()
    return run


@pytest.mark.slow
def test_a_convolutional_network_on_two_ranks(tmp_path: Path):
    words = ("--flows=32", "--epochs=2", "--evaluate-every=0", "--trace=3..6", "--trace-ranks=all")
    done = launch("--nodes", 2, "--runs", tmp_path, "--name", "cfd", "workloads.cfd_resnet", *words, wait=900)
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(tmp_path / "cfd")
    found, notes = store.read(run)
    assert notes == [] and [each.rank for each in found] == [0, 1]
    for each in found:
        assert [step.number for step in each.steps] == [3, 4, 5, 6]
        assert all(step.parts["communication"] > 0 and step.parts["compile"] == 0 for step in each.steps)
        assert any("Conv2D" in operation.type for operation in each.types[:3])
    assert 0 < read_json(run.result_json)["mfu"] < 1


def test_a_slow_input_is_seen_as_input(alone: RunDir):
    ((found,), notes) = store.read(alone)
    assert notes == []
    assert [step.number for step in found.steps] == list(range(1, 9))
    later = found.steps[4:]  # when the batches that were loaded during the compilation are used up
    totals = {name: sum(step.parts[name] for step in later) for name in parts.PARTS}
    assert max(totals, key=totals.get) == "input", totals
    # The loop's own clock saw the same wait, but for what happens between two looks at a clock.
    by_clock = sum(line["input_seconds"] for line in records(alone)[4:8])
    assert sum(step.parts["input"] for step in later) == pytest.approx(by_clock, rel=0.1)


def test_compiling_is_seen_in_the_step_that_is_compiled(alone: RunDir):
    first, *others = document(alone)["ranks"][0]["steps"]
    assert max(first["parts"], key=first["parts"].get) == "compile"
    assert all(step["parts"]["compile"] == 0 for step in others)


def test_the_parts_of_one_rank_add_up_to_the_step_that_was_recorded(alone: RunDir):
    check_the_parts(alone)


def test_the_parts_of_two_ranks_add_up_to_the_step_that_was_recorded(together: RunDir):
    check_the_parts(together)


def check_the_parts(run: RunDir) -> None:
    for found in store.read(run)[0]:
        recorded = {line["step"]: line for line in records(run, found.rank)}
        for step in found.steps:
            assert sum(step.parts.values()) == pytest.approx(step.seconds, abs=1e-8)
        # A mark lies round the two looks at the clock: some microseconds, or a turn of the scheduler.
        marked, timed = (
            sum(seconds) for seconds in zip(*((step.seconds, recorded[step.number]["seconds"]) for step in found.steps))
        )
        assert 0.999 * timed <= marked <= 1.1 * timed
        for step in found.steps:
            assert step.start == pytest.approx(recorded[step.number]["start"], abs=0.05)


def test_a_rank_that_is_late_is_seen_as_communication_on_the_other(together: RunDir):
    (waiting, late), _ = store.read(together)
    assert (waiting.rank, late.rank) == (0, 1)
    for found, part in ((waiting, "communication"), (late, "input")):
        assert [step.number for step in found.steps] == [6, 7, 8, 9]
        totals = {name: sum(step.parts[name] for step in found.steps) for name in parts.PARTS}
        assert max(totals, key=totals.get) == part, totals
    types = {operation.type for operation in waiting.types}
    # XLA fuses products with what is around them.
    assert any("MatMul" in kind or "fusion" in kind for kind in types)
    assert not any(kind.startswith(("Horovod", "psum")) for kind in types)


@pytest.mark.parametrize("together", ["horovod"], indirect=True)
def test_the_timeline_says_that_it_was_negotiated_meanwhile(together: RunDir):
    found = document(together)["timeline"]
    assert [step["number"] for step in found["steps"]] == [6, 7, 8, 9]
    assert max(found["seconds"], key=found["seconds"].get) == "negotiate"
    assert found["seconds"]["negotiate"] < sum(step["seconds"] for step in found["steps"])
    # Four gradients, and the loss with the two flags of the loop; barriers are not in the window.
    assert len(found["tensors"]) == 5
    assert all(tensor["count"] == 4 for tensor in found["tensors"])
    assert found["bytes"] == 4 * 4 * ((5 * 8 + 8) + (8 * 2 + 2) + 3)


def test_traced_steps_are_not_timed(alone: RunDir):
    lines = records(alone)
    assert [line["step"] for line in lines if line["traced"]] == list(range(1, 9))
    timed = [line["seconds"] for line in lines if not line["traced"]]
    result = read_json(alone.result_json)
    assert len(timed) == 8
    assert result["throughput_examples_per_s"] == pytest.approx(32 * 8 / sum(timed), rel=1e-3)
    # Operations of a training example: three times two for each of the weights.
    assert result["flops_per_example"] == 3 * 2 * (5 * 8 + 8 * 2)
    assert result["flop_per_s"] == pytest.approx(result["flops_per_example"] * result["throughput_examples_per_s"])
    assert result["mfu"] == pytest.approx(result["flop_per_s"] / result["peak_flop_per_s"])


@pytest.mark.parametrize("together", ["horovod"], indirect=True)
def test_no_step_of_a_run_with_a_timeline_is_timed(together: RunDir):
    """Its writer disturbs a run from its start to its end."""
    assert all(line["traced"] for line in records(together))
    assert read_json(together.result_json)["throughput_examples_per_s"] is None


def test_the_raw_trace_lies_where_tensorboard_looks_and_can_be_read_again(alone: RunDir):
    ((kept,), _) = store.read(alone)
    assert store.extract(alone, 1, 0) == kept
    assert [path.name for path in alone.traces.glob("plugins/profile/*/*")] == ["rank0.xplane.pb"]
    assert not (alone.traces / ".rank0").exists()


def test_a_raw_trace_that_is_cut_short_is_refused_in_a_line(alone: RunDir, tmp_path: Path):
    run = made(tmp_path / "run")
    raw = run.raw_trace(1, 3)
    raw.parent.mkdir(parents=True)
    whole = alone.raw_trace(1, 0).read_bytes()
    for size in (0, 1, 1000, len(whole) // 2, len(whole) - 1):
        raw.write_bytes(whole[:size])
        with pytest.raises(Refusal) as refusal:
            document(run)
        said = str(refusal.value)
        assert str(raw) in said and "\n" not in said and "cut short" in said
    raw.write_bytes(b"something else")
    with pytest.raises(Refusal, match=str(raw)):
        document(run)


def test_a_trace_that_cannot_be_kept_costs_no_training(tmp_path: Path):
    run = made(tmp_path / "run")
    run.traces.mkdir()
    (run.traces / "plugins").write_text("a file where a folder is needed")
    started = ranks.train(1, run.path, "--epochs=1", "--examples=512", "--trace=3..5")
    assert started.wait() == [0], started.output()
    assert (
        "rank 0 has no trace (NotADirectoryError" in started.output()
        or "rank 0 has no trace (FileExistsError" in started.output()
    )
    assert read_json(run.result_json)["steps"] == 16


@pytest.mark.slow
def test_a_window_that_is_broken_off(tmp_path: Path):
    """A signal within it: what was traced is kept. A kill: the training goes on without it."""
    run = made(tmp_path / "run")
    options = ("--epochs=1", "--examples=6400", "--pause=0.02", "--trace=3..190", "--checkpoint-every=0.3")

    def start(attempt: int) -> ranks.Ranks:
        started = ranks.train(1, run.path, *options, attempt=attempt)
        before = len(records(run))
        while len(records(run)) < before + 10:
            assert started.processes[0].exitcode is None, started.output()
            time.sleep(0.02)
        return started

    stopped = start(1)
    stopped.send(0, signal.SIGTERM)
    assert stopped.wait() == [75], stopped.output()
    ((first,), notes) = store.read(run)
    assert [step.number for step in first.steps] == list(range(3, records(run)[-1]["step"] + 1))

    killed = start(2)
    killed.kill(0)
    assert killed.wait() == [-signal.SIGKILL]
    last = ranks.train(1, run.path, *options, attempt=3)
    assert last.wait() == [0], last.output()
    assert [found.attempt for found in store.read(run)[0]] == [1, 3]
    traces = document(run)
    assert traces["attempt"] == 3 and traces["ranks"][0]["steps"][-1]["number"] == 190
    assert traces["notes"] == ["attempts 1, 3 were traced; this is attempt 3"]


@pytest.mark.parametrize(
    ("text", "steps"), [("20..30", range(20, 31)), ("7", range(7, 8)), ("steps=2..3", range(2, 4)), ("", range(0))]
)
def test_windows(text: str, steps: range):
    assert trace_window.steps(text) == steps


@pytest.mark.parametrize("text", ["0..3", "5..4", "-1", "a", "3..", "1..2..3", "1.5", "20-30"])
def test_windows_that_are_none(text: str):
    with pytest.raises(Refusal, match="names no steps: give the first and the last, as in 20..30, counted from 1"):
        Training(trace=text)


def test_ranks_that_are_chosen():
    four = [Rank(rank, 4, rank % 2, 2, rank // 2, 2) for rank in range(4)]

    def chosen(text: str) -> list[int]:
        return [rank.rank for rank in four if trace_window.includes(text, rank)]

    assert chosen("0") == [0]
    assert chosen("all") == [0, 1, 2, 3]
    assert chosen("first-of-node") == [0, 2]
    assert chosen("1..2") == [1, 2]
    assert chosen("3, first-of-node") == [0, 2, 3]
    for text in ("4", "0,2..4", "first", "", "0,"):
        with pytest.raises(Refusal, match=r"and the ranks are 0..3: give numbers, a range, first-of-node, or all"):
            chosen(text)


def test_what_cannot_be_traced_is_refused_before_the_first_step(tmp_path: Path):
    with pytest.raises(Refusal, match="--timeline needs to know in which steps: give them as --trace 20..30"):
        Training(timeline=True)
    with pytest.raises(Refusal, match=r"--trace-ranks has '2', and the ranks are 0..1"):
        Training(trace="1..2", trace_ranks="2").describe(2)
    assert Training(trace="1..2").describe(2)["trace"] == "steps 1 to 2 on rank 0"
    assert "trace" not in Training().describe(2)
    run = made(tmp_path / "run")
    started = ranks.train(1, run.path, "--epochs=1", "--examples=512", "--trace=10..17")
    assert started.wait() == [1]
    line = "launch.errors.Refusal: --trace 10..17 ends behind the last step of the run: give steps from 1 to 16"
    assert started.output().splitlines()[-1] == line
    assert not records(run)
