"""The workload as the training loop sees it: options, data, what it learns, what it leaves."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import creeping
import numpy as np
import pytest
import tensorflow as tf

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.plan import options
from workloads import cfd_resnet
from workloads.cfd_resnet import data, generate
from workloads.cfd_resnet.sources import Examples

SPLITS = {
    "train": creeping.flows(96, seed=1),
    "validation": creeping.flows(24, seed=2),
    "test": creeping.flows(24, seed=3),
}


@pytest.fixture
def synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Creeping flows in place of the solver's, which take minutes."""
    monkeypatch.setattr(data, "flows", lambda parameters, split, **_: SPLITS[split])
    monkeypatch.setitem(data.SIZES, "small", data.FlowSet(height=16, width=32, train=96, validation=24, test=24))


def train(workload: cfd_resnet.Workload, steps: int, rate: float, batch: int = 16) -> dict[str, float]:
    """By the loop's own step and evaluation, on one rank."""
    from workloads.training.engines import horovod
    from workloads.training.engines.horovod.communicator import Communicator
    from workloads.training.engines.horovod.step import Step
    from workloads.training.evaluation import Evaluation
    from workloads.training.sharding import Sharding

    with Communicator(Rank()) as communicator:
        optimizer = communicator.averaging(workload.optimizer(rate))
        optimizer.build(workload.model.trainable_variables)
        step = Step(workload, optimizer, communicator, xla=False)
        sharding = Sharding(len(workload.train), batch, 1, 0, 0)
        indices = [index for epoch in sharding.batches(0, 0, steps) for index in epoch().indices]  # none for no steps
        for number, index in enumerate(indices, start=1):
            inputs, targets = tf.nest.map_structure(tf.convert_to_tensor, workload.train.load(index))
            step(number, inputs, targets, [])
        return Evaluation(horovod, workload, communicator, batch)()


def test_it_is_imported_without_tensorflow_keras_or_numpy():
    code = "import sys, workloads.cfd_resnet as w; w.Config().describe(2); print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_plan_says_what_is_trained_on_what():
    lines = options.parse(cfd_resnet.Config, ["--flows", "500", "--network", "residual"]).describe(2)
    assert lines["data"].startswith(
        "500 flows of 32 x 64 cells, each mirrored too; 32 others to choose by, 32 to measure"
    )
    assert lines["network"].startswith("residual")
    assert "global batch" in lines


@pytest.mark.parametrize(
    ("option", "value"), [("dropout", 1.0), ("flows", -1), ("width", -1), ("weight-decay", -0.1), ("epochs", 0)]
)
def test_what_cannot_be_is_refused(option: str, value: float):
    with pytest.raises(Refusal, match=f"--{option}.* {value}|option --{option}: '{value}' is not"):
        options.parse(cfd_resnet.Config, [f"--{option}={value}"])


@pytest.mark.usefixtures("synthetic")
def test_mirrored_flows_follow_the_others():
    flows = SPLITS["train"]
    workload = cfd_resnet.build(cfd_resnet.Config(network="fc", width=4), Rank())
    assert (len(workload.train), len(workload.validation)) == (2 * 96, 24)
    mask, targets = workload.train.load(np.array([5, 96 + 5]))
    np.testing.assert_array_equal(targets["flow"][0], flows.flow[5])
    np.testing.assert_array_equal(targets["flow"][1, ..., 0], flows.flow[5, ::-1, :, 0])
    np.testing.assert_array_equal(targets["flow"][1, ..., 1], -flows.flow[5, ::-1, :, 1])
    np.testing.assert_array_equal(mask[:, ..., 0], [flows.mask[5, ..., 0], flows.mask[5, ::-1, :, 0]])
    np.testing.assert_array_equal(mask, targets["mask"])
    assert len(cfd_resnet.build(cfd_resnet.Config(network="fc", width=4, mirror=False), Rank()).train) == 96


def test_flows_can_be_read_from_a_copy_of_their_file(tmp_path: Path):
    flows, whole = SPLITS["test"], tmp_path / "flows.npy"
    records = np.zeros(len(flows), generate.record_type(*flows.mask.shape[1:3]))
    records["flow"], records["mask"] = flows.flow, flows.mask
    generate.write(whole, records)
    mapped = generate.read(whole, records.dtype, len(records))
    parts = [dataclasses.replace(flows, flow=mapped["flow"], mask=mapped["mask"]), flows]
    examples = Examples(parts)
    assert examples.of(np.array([1, 48 + 23, 24])) == [whole] and examples.of(np.array([24, 47])) == []
    before = examples.load(np.arange(48))[1]["flow"]
    copy = whole.rename(tmp_path / "copy.npy")
    examples.read_from({whole: copy})
    assert examples.of(np.array([0])) == [copy]
    np.testing.assert_array_equal(examples.load(np.arange(48))[1]["flow"], before)
    copy.write_bytes(copy.read_bytes()[:-9])
    with pytest.raises(Refusal, match="copy.npy is cut short or has changed since it was written: delete it"):
        examples.read_from({copy: copy})


@pytest.mark.usefixtures("synthetic")
def test_it_learns_and_leaves_a_picture(tmp_path: Path):
    """Measured: 3.2 times better than the mean field after these steps."""
    tf.keras.utils.set_random_seed(0)
    config = cfd_resnet.Config(network="residual", masks=Path("unused"))
    workload = cfd_resnet.build(config, Rank())
    before = train(workload, 0, 1e-3)
    after = train(workload, 120, 3e-3)
    assert after["times_better"] > 2.5 > before["times_better"]
    assert after["loss"] == pytest.approx(after["error"], rel=1e-5)
    assert len(after) <= 17
    found = workload.finish(workload.model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks.png", "test.png"]
    assert found["masks_error"] == pytest.approx(after["error"], rel=1e-4)
    assert found["test_error"] == pytest.approx(after["error"], rel=0.2)
    assert found["test_error"] != pytest.approx(after["error"], rel=1e-4), "not a set of its own"


@pytest.mark.usefixtures("synthetic")
@pytest.mark.parametrize(("network", "loss", "width"), [("fc", "square", 4), ("cnn", "relative", 16)])
def test_the_other_networks_train_too(network: str, loss: str, width: int):
    tf.keras.utils.set_random_seed(0)
    config = cfd_resnet.Config(network=network, width=width, loss=loss, weight_decay=1e-4)
    workload = cfd_resnet.build(config, Rank())
    first, later = (train(workload, steps, 3e-3)["loss"] for steps in (0, 15))
    assert later < 0.99 * first
