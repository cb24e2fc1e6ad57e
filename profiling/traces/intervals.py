"""Sets of time as arrays of intervals: union, intersection, difference, length.

An array of intervals has the shape (n, 2): the start and the end of each, in any unit. `union` returns them in the
form that the other functions need and return: rising, disjoint, none of them empty.
"""

import numpy as np


def union(*arrays: np.ndarray) -> np.ndarray:
    """Return the union of the intervals of some arrays, in any order and maybe overlapping; empty ones are left out."""
    intervals = np.concatenate([np.asarray(array, float).reshape(-1, 2) for array in arrays])
    intervals = intervals[intervals[:, 1] > intervals[:, 0]]
    if not len(intervals):
        return intervals
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(intervals[:, 1])
    first = np.append(True, intervals[1:, 0] > reach[:-1])
    last = np.append(first[1:], True)
    return np.column_stack([intervals[first, 0], reach[last]])


def intersection(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the intersection of two unions."""
    if not len(one) or not len(other):
        return np.empty((0, 2))
    # Each interval of the one overlaps a contiguous range of the others, which rise as it does.
    begin = np.searchsorted(other[:, 1], one[:, 0], side="right")
    count = np.maximum(np.searchsorted(other[:, 0], one[:, 1], side="left") - begin, 0)
    mine = np.repeat(np.arange(len(one)), count)
    theirs = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)
    return np.column_stack([np.maximum(one[mine, 0], other[theirs, 0]), np.minimum(one[mine, 1], other[theirs, 1])])


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the part of the first union that is not in the second."""
    if not len(other):
        return one
    edges = np.concatenate([[-np.inf], other.ravel(), [np.inf]]).reshape(-1, 2)
    return intersection(one, edges)


def length(intervals: np.ndarray) -> float:
    """Return the length of a union, in its unit."""
    return float((intervals[:, 1] - intervals[:, 0]).sum())
