"""A training as a user starts it: ranks, records, kills, signals, and going on."""

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from launched import Launched, gone, launch, until

from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from workloads.training import checkpoints

OPTIONS = ("tiny", "--network=noisy", "--deterministic", "--epochs=6", "--batch=16", "--threads=1")


def weights(run: RunDir) -> list[bytes]:
    return [value.tobytes() for value in checkpoints.latest(run.checkpoints).values]


def steps(run: RunDir) -> int:
    return max((line["step"] for line in read_lines(run.steps / "node0.jsonl")), default=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """An uninterrupted run of two ranks."""
    folder = tmp_path_factory.mktemp("runs")
    done = launch("--nodes", 2, "--runs", folder, "--name", "whole", *OPTIONS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done: " in done.stdout
    return RunDir.open(folder / "whole")


def test_a_run_leaves_what_design_says(whole: RunDir):
    result = read_json(whole.result_json)
    assert (result["status"], result["ranks"], result["nodes"], result["attempts"]) == ("done", 2, 2, 1)
    assert {"queue", "start", "import", "compile", "train", "evaluate"} <= result["phases_s"].keys()
    assert all(seconds >= 0 for seconds in result["phases_s"].values())
    assert result["throughput_examples_per_s"] > 0 and result["metrics"]["rms"] > 0 and result["ranks_agree"]
    assert {"python", "tensorflow", "keras", "horovod"} <= result["versions"].keys()
    assert [event["event"] for event in whole.events() if event["event"] not in ("evaluated", "checkpointed")] == [
        "submitted",
        "started",
        "ended",
    ]
    for node in (0, 1):
        lines = list(read_lines(whole.steps / f"node{node}.jsonl"))
        assert {line["rank"] for line in lines} == {node}
        assert [line["step"] for line in lines] == list(range(1, result["steps"] + 1))
    assert read_json(whole.env_json)["packages"]["horovod"] == "0.28.1"


def test_kill_9_of_any_rank_at_any_time_leaves_no_trace_in_the_weights(whole: RunDir, tmp_path: Path):
    dice = random.Random()  # other moments each time
    run = RunDir(tmp_path / "killed")
    words = ["--nodes", 2, "--runs", tmp_path, "--name", "killed", *OPTIONS, "--pause=0.03", "--checkpoint-every=0.3"]
    total = read_json(whole.result_json)["steps"]
    moments = []
    for kill in range(2):
        launched = Launched(*words) if kill == 0 else Launched("resume", run.path)
        if kill == 1:  # before the first step, wherever that is
            until(lambda launched=launched: len(launched.ranks()) == 2)
            time.sleep(dice.uniform(0, 4))
        else:
            goal = dice.randrange(total // 2) + 1  # well before its end
            until(lambda goal=goal, launched=launched: steps(run) >= goal or launched.process.poll() is not None)
        rank, killed = dice.choice(sorted(launched.ranks().items()))
        others = list(launched.ranks().values())
        moments.append((rank, steps(run)))
        killed.kill()
        status, output = launched.wait()
        assert status == 1, output
        assert gone(others)
        assert f"rank {rank} on node {rank} " in output and "ended by SIGKILL" in output, output
    resumed = launch("resume", run.path)
    assert resumed.returncode == 0, f"{moments}: {resumed.stdout}{resumed.stderr}"
    assert weights(run) == weights(whole), f"kills (rank, step): {moments}"
    assert read_json(run.result_json)["metrics"] == read_json(whole.result_json)["metrics"]


@pytest.mark.slow
def test_ctrl_c_ends_every_rank_and_the_run_goes_on_later(whole: RunDir, tmp_path: Path):
    run = RunDir(tmp_path / "interrupted")
    launched = Launched("--nodes", 2, "--runs", tmp_path, "--name", "interrupted", *OPTIONS, "--pause=0.05")
    until(lambda: steps(run) > 5)
    ranks = list(launched.ranks().values())
    launched.process.send_signal(signal.SIGINT)
    status, output = launched.wait()
    assert status == 130, output
    assert gone(ranks)
    assert f"python -m launch resume {run.path}" in output
    saved = checkpoints.latest(run.checkpoints)
    assert saved is not None and saved.step > 5
    assert run.events("ended")[-1]["outcome"] == "stopped"
    resumed = launch("resume", run.path)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert weights(run) == weights(whole)
    again = launch("resume", run.path)
    assert again.returncode == 2 and "is finished" in again.stderr


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path):
    failed = launch(
        "--nodes", 2, "--runs", tmp_path, "--name", "nan", "tiny", "--epochs=1", "--poison=300", "--evaluate-every=0"
    )
    assert failed.returncode == 1
    assert (
        "the loss is nan at step " in failed.stdout
        and " on rank " in failed.stdout
        and "at learning rate" in failed.stdout
    )
    assert "what to do: the training diverged" in failed.stdout
    assert RunDir(tmp_path / "nan").result() is None


@pytest.mark.slow
def test_the_time_limit_comes_with_a_warning(tmp_path: Path):
    run = RunDir(tmp_path / "late")
    late = launch("--time=1:30", "--warn=70", "--runs", tmp_path, "--name", "late", *OPTIONS, "--pause=1")
    assert late.returncode == 4, late.stdout + late.stderr
    assert run.events("ended")[-1]["outcome"] == "stopped"
    assert checkpoints.latest(run.checkpoints) is not None or not steps(
        run
    )  # a busy machine may not have begun by then


def test_ranks_meet_over_mpi(whole: RunDir, tmp_path: Path):
    done = launch("--nodes", 2, "--rendezvous", "mpi", "--runs", tmp_path, "--name", "mpi", *OPTIONS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(RunDir(tmp_path / "mpi").result_json)["metrics"] == pytest.approx(
        read_json(whole.result_json)["metrics"], rel=1e-5
    )
    mine, theirs = (checkpoints.latest(run.checkpoints).values for run in (RunDir(tmp_path / "mpi"), whole))
    for one, other in zip(mine, theirs):
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
