"""Which rank of a hung run is said to be behind, by what its watchers have seen."""

from pathlib import Path
from typing import Any

import pytest

from launch.node.hang.suspects import judged, verdict
from launch.record.rundir import RunDir


def rank(number: int, **facts: Any) -> dict[str, Any]:
    known = {
        "alive": True,
        "steps": True,
        "strict": True,
        "step": 7,
        "state": "S",
        "at": "x.py",
        "waits": 0,
    }
    return {"rank": number, **known, **facts}


WAITS = {"at": "barrier", "waits": 2}


@pytest.mark.parametrize(
    ("ranks", "behind", "says"),
    [
        ([rank(0), rank(1, step=6), rank(2, step=8), rank(3)], 1, "is behind (step 6; the others 7 to 8)"),
        ([rank(0, **WAITS), rank(1, state="T"), rank(2, **WAITS)], 1, "is stopped (SIGSTOP), all after step 7"),
        ([rank(0, **WAITS), rank(1)], 1, "is at x.py; the others wait, all after step 7"),
        ([rank(0, **WAITS), rank(1, waits=1)], 1, "is at x.py; the others wait"),  # for a message from somewhere else
        ([rank(0), rank(1), rank(2, at="y.py")], 2, "is at y.py; the others are elsewhere"),
        ([rank(0), rank(1, at="y.py")], None, "no rank stands out of 2 after step 7: 1 at x.py, 1 at y.py"),
        ([rank(0), rank(1)], None, "no rank stands out of 2 after step 7: 2 at x.py"),
        ([rank(0, step=6), rank(1, step=6, state="D"), rank(2)], 1, "waits in the kernel for I/O"),
        ([rank(0, alive=False), rank(1, strict=False)], 1, "its only rank that is left, 1 on node1"),
        ([rank(0, alive=False)], None, "no rank is left"),
    ],
)
def test_who_is_behind(tmp_path: Path, ranks: list[dict[str, Any]], behind: int | None, says: str):
    found = verdict(RunDir(tmp_path), 1, 30.0, {0: {"host": "node1", "ranks": ranks}})
    assert (found.get("rank"), found.get("host")) == (behind, None if behind is None else "node1")
    assert says in found["said"] and found["said"].endswith("stacks/attempt1" + "/node0.txt" * (behind is not None))


def test_by_whom_a_run_is_judged():
    """By all, until steps are made; then by those who record any, unless none is in its loop."""
    silent = rank(1, steps=False, strict=False, step=0)
    assert judged([rank(0), silent]) == [rank(0)]
    assert judged([rank(0, step=0), silent]) == [rank(0, step=0), silent]  # one waits for the other to begin
    assert judged([rank(0, strict=False), silent]) == [rank(0, strict=False), silent]
