"""DeepCFD's files: read as they are published, refused where they are damaged, learned from. Written here: the data are not."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from launch.errors import Refusal
from launch.node.rank import Rank
from workloads import cfd_resnet
from workloads.cfd_resnet import deepcfd

FLOWS, NX, NY = 20, 36, 17  # published: 981, 172, 79


def arrays(flows: int = FLOWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """X and Y in the layout of DeepCFD: boxes in a channel, a parabola that runs round them, a pressure that falls."""
    random = np.random.default_rng(seed)
    along, across = np.meshgrid(np.arange(NX), np.arange(NY), indexing="ij")
    x, y = np.zeros((2, flows, 3, NX, NY))
    for flow in range(flows):
        centre = random.integers((8, 5), (NX - 8, NY - 5))
        distance = np.maximum(abs(along - centre[0]), abs(across - centre[1])) - 2.5
        wall = np.minimum(across, NY - 1 - across)
        region = np.ones((NX, NY))
        region[:, (0, -1)], region[0], region[-1] = 2, 3, 4
        region[distance < 0] = 0
        x[flow] = distance, region, wall
        fluid = distance > 0
        speed = 0.1 * wall * (NY - 1 - wall) / NY**2 * np.minimum(distance / 4, 1)
        y[flow] = (
            speed * fluid,
            0.02 * np.sign(across - centre[1]) * np.exp(-(distance**2) / 9) * fluid,
            (NX - along) * 1e-3 * fluid,
        )
    return x, y


def write(folder: Path, x: object, y: object, protocol: int = 4) -> Path:
    for name, value in zip(deepcfd.FILES, (x, y)):
        (folder / name).write_bytes(pickle.dumps(value, protocol))
    return folder


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_files_are_read_as_they_were_written(tmp_path: Path, protocol: int):
    x, y = arrays()
    sets = deepcfd.read(write(tmp_path, x, y, protocol))
    assert [len(part) for part in sets[:3]] == [13, 1, 6]
    assert sets.test.inputs.shape == (6, NY, NX, 4)
    np.testing.assert_allclose((sets.test.fields * sets.scale).transpose(0, 3, 2, 1), y[14:], atol=1e-7)
    np.testing.assert_array_equal(sets.train.inputs[..., 0].transpose(0, 2, 1), x[:13, 1] == 0)
    assert abs(sets.train.inputs).max() == 1
    np.testing.assert_allclose(np.sqrt((sets.train.fields**2).mean(axis=(0, 1, 2))), 1, rtol=0.1)
    assert len(deepcfd.read(tmp_path, 5).train) == 5


def test_files_of_an_older_numpy_are_read_too(tmp_path: Path):
    write(tmp_path, *arrays(), protocol=2)
    for name in deepcfd.FILES:
        path = tmp_path / name
        path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert len(deepcfd.read(tmp_path).train) == 13


def test_fields_that_do_not_vanish_in_obstacles_are_not_cut_out(tmp_path: Path):
    x, y = arrays()
    sets = deepcfd.read(write(tmp_path, x, y + 0.1))
    assert not sets.train.inputs[..., 0].any()


class Harmful:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("made-by-a-pickle",)


def changed(which: int, place: tuple, value: float) -> Callable[[], tuple]:
    def make() -> tuple:
        both = arrays()
        both[which][place] = value
        return both

    return make


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: (Harmful(), Harmful()), "dataX.pkl cannot be read as a pickled array (it wants posix.mkdir, which is not an array)"),
        (lambda: ([1, 2], [3]), "dataX.pkl holds a list, not an array of numbers"),
        (lambda: (np.array(["a"]), arrays()[1]), "dataX.pkl holds an array of <U1, not an array of numbers"),
        (lambda: (arrays()[0], arrays()[1][:, :2]), "has X of shape 20 x 3 x 36 x 17 and Y of shape 20 x 2 x 36 x 17: give (N, 3"),
        (lambda: (arrays()[0][1:], arrays()[1]), "has X of shape 19 x 3 x 36 x 17 and Y of shape 20"),
        (changed(1, (7, 2, 3, 4), np.nan), "dataY.pkl has nan in channel 2 of flow 7: fix it or leave it out"),
        (changed(0, (5, 1, 3, 4), 5), "dataX.pkl has the region 5 in flow 5: there are 0 (obstacle) to 4"),
        (lambda: (arrays()[0], arrays()[1] * [[[1]], [[1]], [[0]]]), "dataY.pkl has only zeros in channel 2: give Ux, Uy and p"),
        (lambda: arrays(1), "has 1 flows, which leaves 0 to learn from: give more of them"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from_is_refused(tmp_path: Path, make: Callable[[], tuple], line: str):
    with pytest.raises(Refusal) as refusal:
        deepcfd.read(write(tmp_path, *make()))
    assert line in str(refusal.value) and "\n" not in str(refusal.value)
    assert not Path("made-by-a-pickle").exists()


def test_absent_and_truncated_files_are_refused_with_where_they_are_had(tmp_path: Path):
    with pytest.raises(Refusal, match=r"has no dataX.pkl: DeepCFD.zip of Zenodo record 3666056 has it"):
        deepcfd.read(tmp_path)
    path = write(tmp_path, *arrays()) / "dataY.pkl"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Refusal, match=r"dataY.pkl cannot be read as a pickled array .*: DeepCFD.zip of Zenodo"):
        deepcfd.read(tmp_path)
    with pytest.raises(Refusal, match=r"has 20 flows, which leaves 13 to learn from: give --flows 13 or less"):
        deepcfd.read(write(tmp_path, *arrays()), 14)


def test_a_network_learns_them_and_is_measured_as_published(tmp_path: Path):
    from workloads.training.engines import horovod
    from workloads.training.engines.horovod.communicator import Communicator
    from workloads.training.engines.horovod.step import Step
    from workloads.training.evaluation import Evaluation

    x, y = arrays(60)
    config = cfd_resnet.Config(deepcfd=write(tmp_path, x, y), network="fc", width=32)
    assert "the last 30 % to measure on" in config.describe(1)["data"]
    tf.keras.utils.set_random_seed(0)
    workload = cfd_resnet.build(config, Rank())
    assert workload.target == ("squared_error", "<=", 1.929)
    plain, mirrored = (workload.train.load(np.array([index])) for index in (2, 2 + len(workload.train) // 2))
    np.testing.assert_array_equal(plain[1]["flow"][:, ::-1] * [1, -1, 1], mirrored[1]["flow"])
    with Communicator(Rank()) as communicator:
        optimizer = communicator.averaging(workload.optimizer(3e-3))
        optimizer.build(workload.model.trainable_variables)
        step, random = Step(workload, optimizer, communicator, xla=False), np.random.default_rng(0)
        before = Evaluation(horovod, workload, communicator, 16)()
        for number in range(60):
            batch = workload.train.load(random.integers(len(workload.train), size=16))
            step(number + 1, *tf.nest.map_structure(tf.convert_to_tensor, batch), [])
        found = Evaluation(horovod, workload, communicator, 16)()
    assert found["squared_error"] < 0.3 * before["squared_error"] and found["error"] < 0.5 * before["error"]
    figures = tmp_path / "figures"
    figures.mkdir()
    tested = workload.finish(workload.model, figures)
    assert [path.name for path in figures.iterdir()] == ["test.png"]
    # The published measure, worked out anew in the layout and units of the files.
    inputs = workload.model.predict(deepcfd.read(tmp_path).test.inputs, verbose=0)
    predicted = (inputs * deepcfd.read(tmp_path).scale).transpose(0, 3, 2, 1)
    each = ((predicted - y[42:]) ** 2).sum(axis=(2, 3)).mean(axis=0)
    np.testing.assert_allclose([tested[f"test_squared_error_{name}"] for name in "uvp"], each, rtol=1e-3)
    assert tested["test_squared_error"] == pytest.approx(each.sum(), rel=1e-3)
