"""One process on two devices against one on one: the same losses to rounding, and what cannot go together."""

from pathlib import Path

import numpy as np
import pytest
import ranks
import tiny

from launch.errors import Refusal
from launch.record.files import read_json, read_lines
from launch.record.rundir import RunDir
from workloads.training import checkpoints


def run(folder: Path, *options: str, attempt: int = 1) -> RunDir:
    made = RunDir(folder)
    if attempt == 1:
        made.create()
    started = ranks.train(1, folder, "--epochs=2", "--batch=64", *options, attempt=attempt)
    assert started.wait() == [0], started.output()
    return made


def losses(made: RunDir) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in read_lines(made.steps / "node0.jsonl")}


def test_two_devices_follow_one(tmp_path: Path):
    one, two = run(tmp_path / "one", "--strategy=single"), run(tmp_path / "two", "--strategy=mirrored")
    assert len(losses(one)) == 32
    np.testing.assert_allclose(list(losses(two).values()), list(losses(one).values()), rtol=1e-5)
    for mine, theirs in zip(checkpoints.latest(two.checkpoints).values, checkpoints.latest(one.checkpoints).values):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    one, two = read_json(one.result_json), read_json(two.result_json)
    assert two["metrics"] == pytest.approx(one["metrics"], rel=1e-4)
    assert two["flops_per_example"] == one["flops_per_example"] > 0


def test_normalisation_dropout_and_going_on(tmp_path: Path):
    made = run(tmp_path / "run", "--strategy=mirrored", "--network=noisy", "--checkpoint-every=1e-9")
    steps = sorted(made.checkpoints.glob("step-*.npz"), key=lambda path: int(path.stem[5:]))
    steps[-1].unlink()
    made.result_json.unlink()
    first = losses(made)
    again = losses(run(made.path, "--strategy=mirrored", "--network=noisy", attempt=2))
    assert first.keys() == again.keys()
    assert first[32] == pytest.approx(again[32], rel=1e-4)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path):
    made = RunDir(tmp_path / "run")
    made.create()
    started = ranks.train(1, made.path, "--strategy=mirrored", "--batch=33")
    assert started.wait() == [1]
    assert "a batch of 33 cannot be shared by 2 devices: give a multiple as --batch" in started.output()


def test_what_does_not_go_together_is_refused():
    for strategy in ("mirrored", "single"):
        with pytest.raises(Refusal, match=f"--strategy {strategy} is for one rank, and these are 2"):
            tiny.Config(strategy=strategy).describe(2)
    for options in ({"accumulate": 2}, {"xla": True}, {"precision": "float16"}):
        with pytest.raises(Refusal, match="--strategy mirrored goes with neither"):
            tiny.Config(strategy="mirrored", **options)
