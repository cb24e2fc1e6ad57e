"""The workload as the training loop sees it: options, what it learns, what weights do, and ranks that follow one."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranks

from launch.errors import Refusal
from launch.node.rank import Rank, from_environment
from launch.plan import options
from workloads import climate
from workloads.climate.generate import Corpus, corpus
from workloads.climate.published import weights
from workloads.climate.recipes import RECIPES

SMALL = {"network": "tiramisu", "width": 8, "kernel": 3, "batch": 4}


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some maps of half the small set's resolution: rivers, and nothing that could be a cyclone."""
    folder = tmp_path_factory.mktemp("maps") / "set"
    return corpus(Corpus(height=48, width=72, train=3, validation=1), folder=folder, progress=lambda line: None)


def test_it_is_imported_without_tensorflow_keras_or_numpy():
    code = "import sys, workloads.climate as w; w.Config().describe(2); print({'tensorflow', 'keras', 'numpy', 'h5py'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_plan_says_what_is_trained_on_what():
    lines = options.parse(climate.Config, ["--sequences", "3", "--network", "deepcam", "--weights", "sqrt"]).describe(2)
    assert lines["data"] == "24 generated maps of 96 x 144 points; 64 others to measure on"
    assert lines["network"] == "deepcam, width 12"
    assert lines["loss"] == "cross-entropy, classes weighted by 1 / sqrt(f)"
    assert lines["optimizer"] == "adam"
    lines = options.parse(climate.Config, ["--data", "/maps", "--lag", "--optimizer", "larc-adam"]).describe(2)
    assert (lines["data"], lines["network"]) == ("files of /maps", "tiramisu, width 64")
    assert lines["optimizer"] == "larc-adam, gradients of the step before"


def test_the_plan_has_the_schedule_of_mlperf_by_global_batch():
    lines = climate.Config(batch=8, schedule="mlperf", optimizer="lamb").describe(64)
    assert lines["learning rate"] == "0.004 (MLPerf), reached after 100 steps, a tenth from step 2048 and 4096 on"
    with pytest.raises(Refusal, match="no MLPerf schedule for a global batch of 24: .* make 128, 256, 512, 1024, 2048"):
        climate.Config(batch=8, schedule="mlperf").describe(3)
    for batch, recipe in RECIPES.items():
        rate = climate.Config(batch=batch, schedule="mlperf").learning_rate_plan(1).schedule(20_000)
        first = recipe.milestones[0]
        assert float(rate(first - 1)) == pytest.approx(recipe.lr)
        assert float(rate(first)) == pytest.approx(recipe.lr / 10)
        if recipe.warmup_steps:
            assert float(rate(recipe.warmup_steps // 2 - 1)) == pytest.approx(recipe.lr / 2)


@pytest.mark.parametrize(
    ("option", "value"),
    [("width", -1), ("sequences", -1), ("kernel", 0), ("dropout", 1.0), ("check", -1), ("batch", 0)],
)
def test_what_cannot_be_is_refused(option: str, value: float):
    with pytest.raises(Refusal, match=f"--{option}.* {value}|option --{option}: '{value}' is not"):
        options.parse(climate.Config, [f"--{option}={value}"])


def test_data_that_are_not_there_are_refused(tmp_path: Path):
    with pytest.raises(Refusal, match="absent is not a folder: give one with train/, validation/ and stats.h5"):
        climate.build(climate.Config(data=tmp_path / "absent"), Rank())


def test_its_loss_has_the_weights_of_the_classes_and_it_leaves_a_picture(maps: Path, tmp_path: Path):
    workload = climate.build(climate.Config(data=maps, weights="sqrt", **SMALL), Rank())
    for label, weight in enumerate(weights("sqrt")):
        (loss,) = workload.loss(np.full((1, 48, 72), label, np.uint8), np.zeros((1, 48, 72, 3), np.float32))
        assert float(loss) == pytest.approx(weight * np.log(3), rel=1e-5)
    assert workload.finish(workload.model, tmp_path) == {}
    assert (tmp_path / "maps.png").stat().st_size > 10_000


def steps(folder: Path, maps: Path, *given: str) -> None:
    """On each rank: three steps on the rank's part of each batch of six, and a measurement."""
    import keras

    from workloads.training.engines import horovod
    from workloads.training.engines.horovod.communicator import Communicator
    from workloads.training.engines.horovod.pipeline import Pipeline
    from workloads.training.engines.horovod.step import Step
    from workloads.training.evaluation import Evaluation
    from workloads.training.sharding import Sharding

    rank = from_environment()
    # Normalised over its batch a rank would do otherwise than one with the whole batch.
    config = options.parse(climate.Config, [f"--data={maps}", "--width=8", "--kernel=3", "--no-normalise", *given])
    config = dataclasses.replace(config, batch=6 // rank.size)
    keras.utils.set_random_seed(3)
    with Communicator(rank) as communicator:
        workload = climate.build(config, rank)
        sharding = Sharding(len(workload.train), config.batch, rank.size, 0, shards=2)
        optimizer = communicator.averaging(workload.optimizer(1e-2))
        optimizer.build(workload.model.trainable_variables)
        step = Step(workload, optimizer, communicator, config.xla, config.accumulate)
        batches = Pipeline(workload.train)(sharding.batches(rank.rank, 0, 3))
        for number, (inputs, targets) in enumerate(batches, start=1):
            step(number, inputs, targets, [])
        metrics = Evaluation(horovod, workload, communicator, config.batch)()
    np.savez(folder / f"{rank.size}-{rank.rank}.npz", *workload.model.get_weights(), np.array(list(metrics.values())))


@pytest.mark.slow
def test_two_ranks_follow_one(maps: Path, tmp_path: Path):
    given = ("--optimizer=lamb", "--lag")
    for size in (1, 2):
        started = ranks.Ranks(size, tmp_path / str(size), {}, steps, tmp_path, maps, *given)
        assert started.wait(600) == [0] * size, started.output()
    alone, first, second = (list(np.load(tmp_path / f"{of}.npz").values()) for of in ("1-0", "2-0", "2-1"))
    for one, other, expected in zip(first, second, alone):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, expected, rtol=1e-3, atol=2e-5)


@pytest.mark.slow
def test_the_default_recipe_reaches_its_target(tmp_path: Path):
    """AR above 0.6, TC above 0.4 by the command of the docs."""
    import json

    command = [
        sys.executable,
        "-m",
        "launch",
        "--nodes",
        "2",
        "--runs",
        str(tmp_path),
        "--name",
        "run",
        "workloads.climate",
    ]
    subprocess.run(command, cwd=Path(__file__).resolve().parents[3], check=True, timeout=3600)
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert metrics["iou_ar"] > 0.6 and metrics["iou_tc"] > 0.4
    assert (tmp_path / "run" / "figures" / "maps.png").is_file()
