"""The training loop with real ranks over Gloo: 2 and 4 against 1, kills, signals, what it refuses."""

import math
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import ranks

from launch.errors import Refusal
from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from profiling.telemetry.records import STEP
from workloads.training import checkpoints, train

STEPS = 32  # of the runs that are compared: 4 epochs of 1024 examples, 128 a step


def made(folder: Path) -> RunDir:
    run = RunDir(folder)
    run.create()
    return run


def values(run: RunDir, step: int) -> list[np.ndarray]:
    return checkpoints.load(run.checkpoints / f"step-{step}.npz").values


def identical(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(a.tobytes() == b.tobytes() for a, b in zip(one, other))


@pytest.fixture(scope="module", params=ranks.SLOW_ON_JAX)
def shared_batch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """The same 128 examples a step, on 1, 2 and 4 ranks; of JAX on 1 and 2, for the sake of the time that it takes."""
    runs = {}
    for name, size, options in (
        ("1", 1, []),
        ("2", 2, []),
        ("2, xla", 2, ["--xla"]),
        ("4", 4, []),
        ("2, bfloat16", 2, ["--precision=bfloat16", "--evaluate-every=0.01"]),
    ):
        if request.param == "jax" and name not in ("1", "2"):
            continue
        run = made(tmp_path_factory.mktemp("shared") / "run")
        started = ranks.train(
            size,
            run.path,
            f"--batch={128 // size}",
            "--shards=4",
            "--lr-scaling=none",
            "--epochs=4",
            "--deterministic",
            *options,
            engine=request.param,
        )
        assert started.wait() == [0] * size, started.output()
        runs[name] = run
    return runs


@pytest.mark.parametrize("name", ["2", "2, xla", "4"])
def test_ranks_follow_one_rank_with_their_whole_batch(shared_batch: dict[str, RunDir], name: str):
    def losses(run: RunDir) -> list[float]:
        return [line["loss"] for line in read_lines(run.steps / "node0.jsonl") if line["rank"] == 0]

    if name not in shared_batch:
        pytest.skip("not run on this engine")
    one, many = shared_batch["1"], shared_batch[name]
    assert len(losses(one)) == STEPS
    np.testing.assert_allclose(losses(many), losses(one), rtol=1e-5)
    for mine, theirs in zip(values(many, STEPS), values(one, STEPS)):
        if mine.dtype.kind == "f":
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shared_batch", ["horovod"], indirect=True)
def test_bfloat16_ends_near(shared_batch: dict[str, RunDir]):
    # It has 8 bits of precision: 2^-8 is 0.4 %.
    exact, rounded = (read_json(shared_batch[name].result_json)["metrics"]["rms"] for name in ("2", "2, bfloat16"))
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.01)
    assert [v.dtype for v in values(shared_batch["2"], STEPS)] == [
        v.dtype for v in values(shared_batch["2, bfloat16"], STEPS)
    ]


def test_all_ranks_hold_the_same_weights(shared_batch: dict[str, RunDir]):
    assert all(read_json(run.result_json)["ranks_agree"] for run in shared_batch.values())


def test_metrics_are_of_the_whole_set_however_it_is_shared(shared_batch: dict[str, RunDir]):
    # 101 validation examples: the ranks have different numbers of them, so a mean of the ranks' means would differ.
    expected = read_json(shared_batch["1"].result_json)["metrics"]
    assert expected["rms"] == pytest.approx(math.sqrt(expected["loss"]))
    for run in [shared_batch[name] for name in ("2", "4") if name in shared_batch]:
        assert read_json(run.result_json)["metrics"] == pytest.approx(expected, rel=1e-5)


def test_a_run_leaves_its_records(shared_batch: dict[str, RunDir]):
    run = shared_batch["2"]
    lines = list(read_lines(run.steps / "node0.jsonl"))
    assert sorted((line["rank"], line["step"]) for line in lines) == [
        (r, s) for r in (0, 1) for s in range(1, STEPS + 1)
    ]
    for line in lines:
        assert list(line) == [field.name for field in STEP]
        assert line["epoch"] == (line["step"] - 1) // 8
        assert line["examples"] == 64
        assert 0 <= line["input_seconds"] < line["own_seconds"] < line["seconds"] < 60
        assert line["compiled"] == (line["step"] == 1)
    training = read_json(run.training_json)
    assert (training["steps"], training["steps_per_epoch"], training["global_batch"]) == (STEPS, 8, 128)
    result = read_json(run.result_json)
    assert (result["status"], result["steps"], result["epochs"], result["ranks"]) == ("done", STEPS, 4, 2)
    assert result["metrics"]["parameters"] == 5 * 8 + 8 + 8 * 2 + 2
    assert [each["bytes"] for each in training["gradients"]] == [4 * 5 * 8, 4 * 8, 4 * 8 * 2, 4 * 2]
    timed = [line["seconds"] for line in lines if line["rank"] == 0 and not line["compiled"]]
    assert result["throughput_examples_per_s"] == pytest.approx(128 * len(timed) / sum(timed), rel=1e-3)
    assert [event["step"] for event in run.events("evaluated")] == [8, 16, 24, 32]


@pytest.mark.parametrize("shared_batch", ["horovod"], indirect=True)
def test_evaluations_that_lie_closer_than_a_step_are_made_after_every_step(shared_batch: dict[str, RunDir]):
    evaluated = [event["step"] for event in shared_batch["2, bfloat16"].events("evaluated")]
    assert evaluated == list(range(1, STEPS + 1))


NOISY = (
    "--network=noisy",
    "--batch=16",
    "--epochs=3",
    "--deterministic",
    "--evaluate-every=0.5",
    "--checkpoint-every=1e-9",
)
NOISY_STEPS = 96  # 3 epochs of 1024 examples, 32 a step


@pytest.mark.parametrize("engine", ranks.SLOW_ON_JAX)
def test_kills_signals_and_a_damaged_checkpoint_leave_no_trace_in_the_weights(tmp_path: Path, engine: str):
    """Dropout, batch normalisation and Adam: whatever has a state has to come back as it was, to the bit."""
    whole = made(tmp_path / "whole")
    assert ranks.train(2, whole.path, *NOISY, engine=engine).wait() == [0, 0]
    expected = values(whole, NOISY_STEPS)

    seed = random.randrange(2**32)
    print(f"moments drawn with seed {seed}")
    draw = random.Random(seed)
    run = made(tmp_path / "broken")
    moments = sorted(draw.sample(range(2, NOISY_STEPS - 30), 4))
    damaged = None
    for attempt, (moment, how) in enumerate(zip(moments, ["kill", "kill", "signal", "kill"]), start=1):
        started = ranks.train(
            2, run.path, *NOISY, "--pause=0.02", attempt=attempt, engine=engine
        )  # so that none is over before its moment
        while not any(int(path.stem[5:]) >= moment for path in run.checkpoints.glob("step-*.npz")):
            assert all(process.exitcode is None for process in started.processes), started.output()
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.01))
        victim = draw.randrange(2)
        if how == "signal":
            started.send(victim, signal.SIGTERM)
            assert started.wait() == [75, 75], started.output()
        else:
            started.kill(victim)
            started.processes[victim].join()
            time.sleep(0.2)  # as long as a launcher needs to notice
            started.kill(1 - victim)
            assert started.wait()[victim] == -signal.SIGKILL
        if attempt == 2:  # a disk may lose what it has promised to keep
            damaged = checkpoints.files(run.checkpoints)[-1]
            content = bytearray(damaged.read_bytes())
            for place in range(
                len(content) // 2, len(content) // 2 + 64
            ):  # nobody misses some single bytes, as of a date
                content[place] ^= 1
            damaged.write_bytes(content)
    last = ranks.train(2, run.path, *NOISY, attempt=5, engine=engine)
    assert last.wait() == [0, 0], last.output()
    assert identical(values(run, NOISY_STEPS), expected)
    printed = (run.logs / "attempt3" / "rank0.log").read_text().splitlines()  # Gloo has lines of its own
    assert any(line.startswith(f"checkpoint {damaged.name} is damaged") for line in printed)
    assert damaged.with_suffix(".damaged").exists()
    assert read_json(run.result_json)["attempts"] == 5
    assert read_json(run.result_json)["ranks_agree"]
    assert read_json(run.result_json)["metrics"] == read_json(whole.result_json)["metrics"]
    # Of an attempt that is killed, the records of the last second are lost.
    assert {line["attempt"] for line in read_lines(run.steps / "node0.jsonl")} >= {3, 5}


@pytest.mark.parametrize("engine", ranks.ENGINES)
def test_a_signal_to_any_rank_stops_all_after_the_same_step(tmp_path: Path, engine: str):
    run = made(tmp_path / "run")
    started = ranks.train(2, run.path, "--epochs=1000", "--pause=0.01", "--checkpoint-every=0.2", engine=engine)
    while not checkpoints.files(run.checkpoints):
        time.sleep(0.01)
    started.send(1, signal.SIGUSR2 if engine == "horovod" else signal.SIGTERM)  # which JAX would take for itself
    assert started.wait() == [75, 75], started.output()
    last = {
        rank: max(line["step"] for line in read_lines(run.steps / "node0.jsonl") if line["rank"] == rank)
        for rank in (0, 1)
    }
    assert last[0] == last[1] == checkpoints.latest(run.checkpoints).step
    assert not run.result_json.exists()
    if engine == "jax":
        return  # what else is refused does not depend on it

    other = ranks.train(2, run.path, "--epochs=1000", "--width=9", attempt=2)
    assert other.wait() == [1, 1]
    for rank in (0, 1):
        assert "of another network or optimizer: its sequential/dense/kernel (5 x 8, float32) is now " in other.output(
            rank
        )
    other = ranks.train(2, run.path, "--epochs=1000", "--batch=64", attempt=3)
    assert other.wait() == [1, 1]
    assert "was made with other batches (batch 32, now 64)" in other.output(1)
    assert checkpoints.latest(run.checkpoints).step == last[0]


@pytest.mark.parametrize("engine", ranks.ENGINES)
def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoints(tmp_path: Path, engine: str):
    run = made(tmp_path / "run")
    words = ("--poison=3", "--epochs=1", "--evaluate-every=0", "--checkpoint-every=1e-9", "--lr=0.01")
    started = ranks.train(2, run.path, *words, engine=engine)
    ended = started.wait()
    # Whoever is the second to leave may be aborted by the coordinator of JAX.
    assert ended == [1, 1] or engine == "jax" and 1 in ended and set(ended) <= {1, -signal.SIGABRT}
    good = max(line["step"] for line in read_lines(run.steps / "node0.jsonl"))
    for rank in (0, 1):  # example 3 is of shard 3 % 2, which rank 1 has
        said = next(line for line in reversed(started.output(rank).splitlines()) if "Diverged" in line)
        assert f"Diverged: the loss is nan at step {good + 1} on rank 1 at learning rate 0.0" in said
        assert said.endswith(f"the last good checkpoint is that of step {good}")
    saved = checkpoints.latest(run.checkpoints)
    assert saved.step == good
    assert all(np.isfinite(value).all() for value in saved.values)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path):
    run = made(tmp_path / "run")
    started = ranks.train(2, run.path, "--steep=3", "--epochs=1", "--evaluate-every=0", "--checkpoint-every=1e-9")
    assert started.wait() == [1, 1]
    saved = checkpoints.latest(run.checkpoints)
    assert all(np.isfinite(value).all() for value in saved.values)
    said = started.output(1).splitlines()[-1]
    assert f"Diverged: the weights are not finite after step {saved.step + 1} on rank 0, 1" in said
    assert said.endswith(f"the last good checkpoint is that of step {saved.step}")


@pytest.mark.parametrize("engine", ranks.ENGINES)
def test_a_rank_that_raises_takes_the_others_along(tmp_path: Path, engine: str):
    run = made(tmp_path / "run")
    started = ranks.train(2, run.path, "--broken=3", "--epochs=1", engine=engine)
    ended = started.wait()
    assert ended[1] == 1 and ended[0] not in (0, -signal.SIGKILL), "the other rank had to be killed"
    assert "OSError: example 3 cannot be read" in started.output(1)


def test_a_mistake_in_the_metrics_shows_before_the_first_step(tmp_path: Path):
    run = made(tmp_path / "run")
    started = ranks.train(1, run.path, "--metric=sqares", "--epochs=1")
    assert started.wait() == [1]
    assert "KeyError: 'sqares'" in started.output(0)
    assert not any(read_lines(records) for records in run.steps.iterdir())


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ("--examples=1",),
            "1 training examples leave some of 2 shards empty: use fewer ranks and shards, or more data",
        ),
        (("--examples=63",), "63 training examples are fewer than one step takes (32 on each of 2 ranks)"),
        (("--shards=3",), "3 shards cannot be shared by 2 ranks: give a multiple of 2 as --shards"),
        (("--widht=3",), "unknown option --widht of tiny: did you mean '--width'?"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_first_step(tmp_path: Path, options: tuple[str, ...], line: str):
    run = made(tmp_path / "run")
    started = ranks.train(2, run.path, *options)
    assert started.wait() == [1, 1]
    assert started.output(0).splitlines()[-1].partition(": ")[2].startswith(line)
    assert not list(run.steps.iterdir())


def test_a_seed_that_keras_cannot_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LAUNCH_RUN", str(made(tmp_path / "run").path))
    for seed in (-1, 2**32):
        monkeypatch.setenv("LAUNCH_SEED", str(seed))
        with pytest.raises(Refusal, match=f"--seed {seed} cannot be used .* give a number from 0 to 4294967295"):
            train.main(["tiny"])
