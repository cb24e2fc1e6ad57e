"""Ranks talking to each other, and the two ways of averaging gradients: the one that works and the one that does not."""

import ast
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks

import workloads
from launch.node.rank import from_environment
from workloads.training.engines.horovod.communicator import Communicator

EXAMPLES, STEPS = 24, 6  # a step takes them all, whatever the number of ranks


def talk(folder: Path) -> None:
    """On each rank: every function of a Communicator once."""
    import keras
    import tensorflow as tf

    rank = from_environment().rank
    with Communicator(from_environment()) as communicator:
        variable = keras.Variable(np.full(3, rank + 1, np.float32))
        communicator.broadcast([variable])
        mixed = [tf.fill((2,), float(rank)), tf.cast(tf.fill((3,), rank), tf.bfloat16), tf.fill((), 10.0 * rank)]
        means = communicator.average(mixed)
        communicator.barrier()
        told = {
            "broadcast": np.asarray(variable).tolist(),
            "object": communicator.broadcast_object({"of": rank}),
            "gathered": communicator.gather(["rank", rank] * (rank + 1)),
            "sum": {
                name: total.tolist()
                for name, total in communicator.sum({"b": np.ones((2, 2)), "a": 2.0**40 + rank}).items()
            },
            "means": [(mean.dtype.name, np.asarray(mean, np.float32).tolist()) for mean in means],
        }
    (folder / f"told{rank}.txt").write_text(repr(told))


@pytest.mark.parametrize("size", [2, 4])
def test_every_rank_hears_the_same(tmp_path: Path, size: int):
    started = ranks.Ranks(size, tmp_path, {}, talk, tmp_path)
    assert started.wait() == [0] * size, started.output()
    told = {(tmp_path / f"told{rank}.txt").read_text() for rank in range(size)}
    mean = (size - 1) / 2
    expected = {
        "broadcast": [1.0, 1.0, 1.0],
        "object": {"of": 0},
        "gathered": [["rank", rank] * (rank + 1) for rank in range(size)],
        # more digits than float32 has: it was summed in float64
        "sum": {"a": float(sum(2**40 + rank for rank in range(size))), "b": [[float(size)] * 2] * 2},
        "means": [("float32", [mean] * 2), ("bfloat16", [mean] * 3), ("float32", 10 * mean)],
    }
    assert [ast.literal_eval(text) for text in told] == [expected]


def test_one_rank_needs_no_horovod():
    with Communicator(from_environment({})) as alone:
        assert alone.gather("a") == ["a"]
        assert alone.broadcast_object("b") == "b"
        assert alone.average([1, 2]) == [1, 2]
        assert alone.sum({"x": [1, 2]})["x"].dtype == np.float64
        alone.barrier()


def optimizers() -> dict[str, Any]:
    """Optimizers and how they are fitted with."""
    from keras import optimizers

    return {
        "sgd": optimizers.SGD(0.1, momentum=0.9),
        "adam": optimizers.Adam(0.01, clipnorm=0.5),
        "scheduled": optimizers.AdamW(optimizers.schedules.CosineDecay(0.01, STEPS)),
        "loss scale": optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=1024.0),
        "eager": optimizers.SGD(0.1),
        "accumulated": optimizers.SGD(0.1, gradient_accumulation_steps=2),
        "horovod's own": optimizers.SGD(0.1),
    }


def fit(folder: Path) -> None:
    """On each rank: ``model.fit`` on the rank's part of the examples, with each optimizer."""
    import keras

    random = np.random.default_rng(0)
    words, targets = random.integers(0, 10, (EXAMPLES, 3)), random.normal(size=(EXAMPLES, 1)).astype(np.float32)
    rank = from_environment()
    own = slice(rank.rank * EXAMPLES // rank.size, (rank.rank + 1) * EXAMPLES // rank.size)
    with Communicator(rank) as communicator:
        for name, optimizer in optimizers().items():
            if rank.size == 4 and name != "adam":  # to save time
                continue
            keras.utils.set_random_seed(3)
            # The gradient of an embedding is sparse, and a word that no example has gets none.
            model = keras.Sequential([
                keras.Input((3,), dtype="int32"), keras.layers.Embedding(10, 4), keras.layers.Flatten(), keras.layers.Dense(1)
            ])  # fmt: skip
            if name == "horovod's own":
                if rank.size == 1:
                    continue
                import horovod.tensorflow as hvd

                optimizer = hvd.DistributedOptimizer(optimizer)
            else:
                optimizer = communicator.averaging(optimizer)
            model.compile(optimizer, "mse", run_eagerly=name == "eager")
            model.fit(words[own], targets[own], batch_size=EXAMPLES, epochs=STEPS, shuffle=False, verbose=0)
            np.savez(folder / f"{name}-{rank.rank}.npz", *model.get_weights())
            if rank.is_chief and name != "horovod's own":  # which cannot be saved either
                model.save(folder / f"{name}.keras")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders of weights, by number of ranks."""
    folders = {}
    for size in (1, 2, 4):
        folders[size] = tmp_path_factory.mktemp("fit")
        started = ranks.Ranks(size, folders[size], {}, fit, folders[size])
        assert started.wait() == [0] * size, started.output()
    return folders


def weights(folder: Path, name: str, rank: int) -> list[np.ndarray]:
    with np.load(folder / f"{name}-{rank}.npz") as archive:
        return [archive[key] for key in archive.files]


@pytest.mark.parametrize(
    ("size", "name"),
    [(2, "sgd"), (2, "adam"), (2, "scheduled"), (2, "loss scale"), (2, "eager"), (2, "accumulated"), (4, "adam")],
)
def test_fit_follows_one_rank_with_all_examples(fitted: dict[int, Path], size: int, name: str):
    expected = weights(fitted[1], name, 0)
    first = weights(fitted[size], name, 0)
    for value, wanted in zip(first, expected):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-6)
    for rank in range(1, size):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(weights(fitted[size], name, rank), first))


def test_horovods_own_optimizer_lets_each_rank_go_its_own_way(fitted: dict[int, Path]):
    """Why it is not used. If this fails, Horovod has learnt of Keras 3, and `averaging` may not be needed any more."""
    one, other = (weights(fitted[2], "horovod's own", rank) for rank in (0, 1))
    assert max(np.abs(a - b).max() for a, b in zip(one, other)) > 0.01


def test_horovod_is_imported_in_one_module_only():
    sources = {path: path.read_text() for path in Path(workloads.__file__).parent.rglob("*.py")}
    assert [
        path.name for path, text in sources.items() if re.search(r"^\s*(import|from) horovod", text, re.MULTILINE)
    ] == ["communicator.py"]
    assert not [path for path, text in sources.items() if re.search(r"DistributedOptimizer\(", text)]


def test_a_saved_model_is_loaded_with_the_plain_optimizer(fitted: dict[int, Path]):
    import keras

    for name in ("adam", "scheduled", "loss scale"):
        model = keras.models.load_model(fitted[2] / f"{name}.keras")
        assert type(model.optimizer) is type(optimizers()[name])
        assert int(model.optimizer.iterations) == STEPS


def test_ranks_that_are_numbered_in_two_ways_are_refused(tmp_path: Path):
    started = ranks.Ranks(1, tmp_path, {}, swapped)
    assert started.wait() == [1]
    assert "Refusal: Horovod takes this for rank 0 of 1, the launch environment for rank 1 of 2" in started.output()


def swapped() -> None:
    """On one rank that is alone, but has been told that it is one of two."""
    os.environ.update(LAUNCH_RANK="1", LAUNCH_SIZE="2", LAUNCH_LOCAL_RANK="1", LAUNCH_LOCAL_SIZE="2")
    with Communicator(from_environment()):
        pass
