"""Which example goes to which rank: each at most once an epoch, the same whatever the number of ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from workloads.training.sharding import Batches, Sharding, part


def batches(sharding: Sharding, rank: int, start: int, stop: int) -> Batches:
    """Those of all epochs."""
    none = Batches(np.empty((0, sharding.batch), np.int64), np.empty((0, sharding.batch, 2), np.uint64))
    return Batches(*map(np.concatenate, zip(none, *(epoch() for epoch in sharding.batches(rank, start, stop)))))


@st.composite
def shardings(draw: st.DrawFn) -> Sharding:
    """Any that is possible."""
    size = draw(st.integers(1, 6))
    a_rank = draw(st.integers(1, 4))
    batch = a_rank * draw(st.integers(1, 5))
    examples = size * batch + draw(st.integers(0, 200))
    return Sharding(examples, batch, size, draw(st.integers(0, 2**32)), size * a_rank)


@settings(deadline=None)
@given(shardings(), st.integers(0, 1000))
def test_no_example_is_seen_twice_in_an_epoch_and_hardly_any_not_at_all(sharding: Sharding, epoch: int):
    ranks = [sharding.epoch(epoch, rank) for rank in range(sharding.size)]
    # Equal steps on all ranks.
    assert {indices.shape for indices in ranks} == {(sharding.steps_per_epoch, sharding.batch)}
    seen = np.concatenate([indices.ravel() for indices in ranks])
    assert len(set(seen.tolist())) == len(seen)
    assert seen.min() >= 0
    assert seen.max() < sharding.examples
    # What stays out is less than one more chunk of every shard, and the odd example of those that are one longer.
    assert sharding.examples - len(seen) < sharding.shards * (sharding.chunk + 1)


@settings(deadline=None)
@given(shardings(), st.integers(0, 3))
def test_the_batches_of_the_ranks_are_the_batch_of_one_rank(sharding: Sharding, epoch: int):
    alone = Sharding(sharding.examples, sharding.batch * sharding.size, 1, sharding.seed, sharding.shards)
    together = np.concatenate([sharding.epoch(epoch, rank) for rank in range(sharding.size)], axis=1)
    np.testing.assert_array_equal(together, alone.epoch(epoch, 0))


@settings(deadline=None)
@given(shardings(), st.data())
def test_any_step_can_be_the_first(sharding: Sharding, data: st.DataObject):
    stop = data.draw(st.integers(0, 3 * sharding.steps_per_epoch))
    start = data.draw(st.integers(0, stop))
    rank = data.draw(st.integers(0, sharding.size - 1))
    whole, rest = batches(sharding, rank, 0, stop).indices, batches(sharding, rank, start, stop).indices
    assert len(whole) == stop
    np.testing.assert_array_equal(rest, whole[start:])


def test_the_order_depends_on_seed_epoch_and_shard_and_on_nothing_else():
    one = Sharding(1000, 10, 2, seed=1)
    assert (one.epoch(0, 0) == one.epoch(0, 0)).all()
    assert (one.epoch(0, 0) != one.epoch(1, 0)).any()
    assert (one.epoch(0, 0) != Sharding(1000, 10, 2, seed=2).epoch(0, 0)).any()
    assert (one.epoch(0, 0) // 2 != one.epoch(0, 1) // 2).any()
    # These numbers come from this code: a run has to go on in the order in which it began, also with a later version.
    assert one.epoch(3, 1)[0].tolist() == [369, 609, 597, 337, 353, 947, 953, 889, 43, 167]


def test_each_shard_resembles_a_sorted_set_as_a_whole():
    labels = np.repeat(np.arange(10), 100)
    first = Sharding(1000, 50, 4, seed=0).epoch(0, 0).ravel()
    assert set(labels[first]) == set(range(10))


@pytest.mark.parametrize(
    ("given_", "line"),
    [
        ((0, 1, 1, 0), "0 training examples leave some of 1 shards empty: use fewer ranks and shards, or more data"),
        ((7, 1, 8, 0), "7 training examples leave some of 8 shards empty: use fewer ranks and shards, or more data"),
        (
            (15, 2, 8, 0),
            "15 training examples are fewer than one step takes (2 on each of 8 ranks): use --batch 1 or less",
        ),
        ((99, 4, 4, 6), "6 shards cannot be shared by 4 ranks: give a multiple of 4 as --shards"),
        (
            (99, 3, 2, 4),
            "a batch of 3 does not take equally much from the 2 shards of a rank: give a multiple of 2 as --batch",
        ),
    ],
)
def test_what_cannot_be_dealt_is_refused(given_: tuple[int, int, int, int], line: str):
    examples, batch, size, shards = given_
    with pytest.raises(Refusal) as refusal:
        Sharding(examples, batch, size, 0, shards)
    assert str(refusal.value).startswith(line)


@settings(deadline=None)
@given(shardings(), st.data())
def test_seeds_follow_from_run_epoch_and_example_alone(sharding: Sharding, data: st.DataObject):
    stop = 3 * sharding.steps_per_epoch
    start = data.draw(st.integers(0, stop - 1))
    found = {}
    for rank in range(sharding.size):
        for step, (index, seeds) in enumerate(zip(*batches(sharding, rank, start, stop)), start):
            assert seeds.dtype == np.uint64
            found |= {
                (step // sharding.steps_per_epoch, i): tuple(pair) for i, pair in zip(index.tolist(), seeds.tolist())
            }
    assert len(set(found.values())) == len(found), "two examples, or one in two epochs, have the same seeds"
    alone = Sharding(sharding.examples, sharding.batch * sharding.size, 1, sharding.seed, sharding.shards)
    for step, (index, seeds) in enumerate(zip(*batches(alone, 0, 0, stop))):
        for i, pair in zip(index.tolist(), seeds.tolist()):
            assert found.get((step // sharding.steps_per_epoch, i), tuple(pair)) == tuple(pair)
    other = Sharding(sharding.examples, sharding.batch, sharding.size, sharding.seed + 1, sharding.shards)
    assert batches(other, 0, 0, 1).seeds[0, 0, 1] != batches(alone, 0, 0, 1).seeds[0, 0, 1]


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(1, 20), st.integers(1, 8))
def test_parts_are_the_whole_once(examples: int, batch: int, size: int):
    parts = [list(part(examples, batch, rank, size)) for rank in range(size)]
    assert sorted(i for batches in parts for rows in batches for i in rows) == list(range(examples))
    assert all(len(rows) <= batch for batches in parts for rows in batches)
    lengths = [sum(map(len, batches)) for batches in parts]
    assert max(lengths) - min(lengths) <= 1
