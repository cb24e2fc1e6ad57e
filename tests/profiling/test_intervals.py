"""Sets of time, against the same sets of whole numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from profiling.traces.intervals import difference, intersection, length, union

INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8).map(
    lambda pairs: np.array(pairs, float).reshape(-1, 2)
)


def cells(intervals: np.ndarray) -> set[int]:
    """The unit cells [n, n + 1) that lie in any of the intervals."""
    return {cell for start, end in intervals for cell in range(int(start), int(end))}


@settings(deadline=None)
@given(INTERVALS, INTERVALS)
def test_they_are_the_operations_of_sets(one: np.ndarray, other: np.ndarray):
    a, b = union(one), union(other)
    assert cells(a) == cells(one)
    assert cells(intersection(a, b)) == cells(one) & cells(other)
    assert cells(difference(a, b)) == cells(one) - cells(other)
    for result in (a, intersection(a, b), difference(a, b)):
        assert (result[:, 1] > result[:, 0]).all(), "an empty interval"
        assert (result[1:, 0] >= result[:-1, 1]).all(), "out of order, or one within another"
        assert length(result) == len(cells(result))


def test_of_nothing_there_is_nothing():
    nothing = union(np.empty((0, 2)))
    some = np.array([[0.0, np.inf]])
    assert length(nothing) == 0
    assert not len(intersection(nothing, some)) and not len(difference(nothing, some))
    assert difference(some, nothing) is some
