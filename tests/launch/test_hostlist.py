"""Slurm's lists of hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.errors import Refusal
from launch.plan.hostlist import expand


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", []),
        ("vm", ["vm"]),
        ("node[1-3]", ["node1", "node2", "node3"]),
        ("nid[001-002,010],login1", ["nid001", "nid002", "nid010", "login1"]),
        ("node[9-11]", ["node9", "node10", "node11"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("a[08-10]-ib,b", ["a08-ib", "a09-ib", "a10-ib", "b"]),
    ],
)
def test_lists(text: str, hosts: list[str]):
    assert expand(text) == hosts


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=9), st.integers(1, 5))
def test_every_number_keeps_its_zeros(numbers: list[int], width: int):
    names = [str(number).zfill(width) for number in numbers]
    assert expand(f"nid[{','.join(names)}]") == [f"nid{name}" for name in names]


@pytest.mark.parametrize("text", ["node[1-3", "node1-3]", "node[1-x]", "node[]"])
def test_what_is_no_list_is_refused(text: str):
    with pytest.raises(Refusal, match="is not a list of hosts"):
        expand(text)
