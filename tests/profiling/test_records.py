"""The writer of steps/: whole lines, from several processes, and soon."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from profiling.telemetry import records
from profiling.telemetry.records import STEP, StepWriter

VALUES = {
    "epoch": 0, "step": 1, "start": 1763900000.123, "seconds": 0.0431, "input_seconds": 0.0007, "own_seconds": 0.04, "examples": 32, "loss": 0.41,
    "learning_rate": 0.001, "traced": False, "compiled": True,
}  # fmt: skip


def test_a_line_follows_the_schema(tmp_path: Path):
    with StepWriter(tmp_path / "steps" / "node0.jsonl", rank=3, attempt=2) as writer:
        writer.write(**VALUES)
    (line,) = (tmp_path / "steps" / "node0.jsonl").read_text().splitlines()
    assert json.loads(line) == {"rank": 3, "attempt": 2, **VALUES}
    assert list(json.loads(line)) == [field.name for field in STEP]


def test_what_is_not_in_the_schema_is_an_error(tmp_path: Path):
    with StepWriter(tmp_path / "node0.jsonl", 0, 1) as writer:
        with pytest.raises(KeyError, match="loss"):
            writer.write(**{name: value for name, value in VALUES.items() if name != "loss"})
        with pytest.raises(TypeError, match="weather"):
            writer.write(**VALUES, weather=1)
    assert (tmp_path / "node0.jsonl").read_text() == ""


def test_lines_wait_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(records.time, "monotonic", lambda: now)
    path = tmp_path / "node0.jsonl"
    writer = StepWriter(path, 0, 1)
    writer.write(**VALUES)
    now = 100.9
    writer.write(**VALUES)
    assert path.read_text() == ""
    now = 101.0
    writer.write(**VALUES)
    assert len(path.read_text().splitlines()) == 3
    writer.write(**VALUES)
    writer.close()
    assert len(path.read_text().splitlines()) == 4


def write_many(path: Path, rank: int) -> None:
    with StepWriter(path, rank, 1) as writer:
        for step in range(1, 2001):
            writer.write(**VALUES | {"step": step})
            if step % 7 == rank:
                writer.flush()


def test_lines_of_several_ranks_do_not_mix(tmp_path: Path):
    path = tmp_path / "node0.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(path, rank)) for rank in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for rank in range(4):
        assert [line["step"] for line in found if line["rank"] == rank] == list(range(1, 2001))


def test_an_attempt_appends_to_what_is_there(tmp_path: Path):
    for attempt in (1, 2):
        with StepWriter(tmp_path / "node0.jsonl", 0, attempt) as writer:
            writer.write(**VALUES)
    assert [json.loads(line)["attempt"] for line in (tmp_path / "node0.jsonl").read_text().splitlines()] == [1, 2]


def test_a_full_disk_is_an_error(tmp_path: Path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    writer = StepWriter(Path("/dev/full"), 0, 1)
    writer.write(**VALUES)
    with pytest.raises(OSError, match="No space left"):
        writer.flush()
