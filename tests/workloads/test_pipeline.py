"""The pipeline: the examples of the batch indices, in that order, from any step; errors as they were raised; what is kept."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from launch.errors import Refusal
from workloads.api import Data
from workloads.training.cached_load import CachedLoad
from workloads.training.engines.horovod.pipeline import Pipeline
from workloads.training.sharding import Sharding

INPUTS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
SHARDING = Sharding(40, 4, 2, seed=3)
STEPS = 12  # of 5 an epoch


def load(index: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return INPUTS[index], {"number": index, "half": index.astype(np.float16) / 2}


@tf.function
def load_tensors(index: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    return tf.gather(INPUTS, index), {"number": index, "half": tf.cast(index, tf.float16) / 2}


def augment(inputs: np.ndarray, targets: dict, seeds: np.ndarray) -> tuple[np.ndarray, dict]:
    noise = [np.random.default_rng(pair).normal(size=3) for pair in seeds]
    return inputs + np.array(noise, np.float32), targets


@pytest.mark.parametrize("function", [load, load_tensors])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_gives_the_examples_of_its_rank_from_any_step(function: Callable, threads: int):
    for rank in (0, 1):
        pipeline = Pipeline(Data(40, function, threads, augment), 2**20)
        whole = list(pipeline(SHARDING.batches(rank, 0, STEPS)))
        numbers = np.concatenate([SHARDING.epoch(epoch, rank) for epoch in range(3)])[:STEPS]
        np.testing.assert_array_equal([targets["number"] for _, targets in whole], numbers)
        epochs = [epoch() for epoch in SHARDING.batches(rank, 0, STEPS)]
        for (inputs, targets), index, seeds in zip(whole, numbers, np.concatenate([epoch.seeds for epoch in epochs])):
            expected = augment(*load(index), seeds)
            tf.nest.map_structure(np.testing.assert_array_equal, (inputs, targets), expected)
        rest = list(pipeline(SHARDING.batches(rank, 7, STEPS)))
        tf.nest.map_structure(np.testing.assert_array_equal, rest, whole[7:])


def test_an_error_arrives_as_it_was_raised_when_its_batch_would_have():
    order = SHARDING.epoch(0, 0)

    def broken(index: np.ndarray) -> tuple:
        if order[3, 2] in index:
            raise Refusal(f"example {order[3, 2]} is cut short: fetch it again")
        return load(index)

    seen = 0
    with pytest.raises(Refusal) as refusal:
        for _ in Pipeline(Data(40, broken, threads=2))(SHARDING.batches(0, 0, STEPS)):
            seen += 1
    assert seen == 3
    assert str(refusal.value) == f"example {order[3, 2]} is cut short: fetch it again"
    assert refusal.traceback[-1].name == "broken"


def test_a_batch_of_another_shape_or_type_is_an_error():
    def odd(index: np.ndarray) -> tuple:
        return INPUTS[index], index if len(index) == 1 else index.astype(np.int32)

    with pytest.raises(ValueError, match=r"a batch has int32 \(4,\) where the first had int64 \(None,\)"):
        next(Pipeline(Data(40, odd))(SHARDING.batches(0, 0, STEPS)))


def test_leaving_early_ends_the_loading():
    began = []

    def slow(index: np.ndarray) -> tuple:
        began.append(index)
        time.sleep(0.05)
        return load(index)

    batches = Pipeline(Data(40, slow))(SHARDING.batches(0, 0, 1000))
    next(batches)
    batches.close()
    closed = len(began)
    time.sleep(0.3)
    assert len(began) == closed < 500


def test_what_is_loaded_is_kept_as_far_as_there_is_room():
    loads, lock = [], threading.Lock()

    def counted(index: np.ndarray) -> tuple:
        with lock:
            loads.extend(index.tolist())
        return load(index)

    example = 3 * 4 + 8 + 2  # bytes
    for room, again in ((40 * example, 0), (10 * example, 10), (0, 20)):
        loads.clear()
        kept = CachedLoad(counted, room)
        for epoch in range(2):
            for index in SHARDING.epoch(epoch, 0):
                tf.nest.map_structure(np.testing.assert_array_equal, kept(index), load(index))
        assert len(loads) == 20 + again
    pipeline = Pipeline(Data(40, counted, files=object()), 2**20)
    loads.clear()
    for _ in range(3):
        assert len(list(pipeline(SHARDING.batches(1, 0, 5)))) == 5
    assert sorted(loads) == list(range(1, 40, 2)), "each example of the rank's shard, once"


def test_threads_that_load_the_same_example_pay_for_it_once():
    example = 3 * 4 + 8 + 2  # bytes
    both, loads = threading.Barrier(2), []

    def together(index: np.ndarray) -> tuple:
        loads.extend(index.tolist())
        if both.n_waiting or len(loads) < 3:
            both.wait(10)
        return load(index)

    kept = CachedLoad(together, 2 * example)
    threads = [threading.Thread(target=kept, args=(np.array([5, 5]),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [5, 5], "each thread once, although the batch has it twice"
    for _ in range(2):  # there is room for a second example
        tf.nest.map_structure(np.testing.assert_array_equal, kept(np.array([7, 5])), load(np.array([7, 5])))
    assert loads == [5, 5, 7]
