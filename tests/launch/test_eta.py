"""How long a study still takes, by its finished runs."""

import json
import time
from pathlib import Path

import pytest
from launched import launch
from plans import EIGHT_CORES, LAPTOP, plan, run_of

from launch.plan.request import Request
from launch.record.rundir import RunDir
from launch.record.study import INDEX
from launch.record.writing import append_line, publish_json
from launch.submit.study import eta

BEGUN = 1_700_000_000.0


def of(*parts: tuple[str, float]) -> list[dict]:
    return [{"event": kind, "time": BEGUN + after} for kind, after in parts]


def test_all_attempts_count_and_waiting_does_not():
    events = of(("submitted", 0), ("started", 50), ("ended", 60), ("submitted", 100), ("started", 200), ("ended", 230))
    assert eta.ran_s(events) == 40  # pyright: ignore
    assert eta.ran_s(of(("started", 0), ("started", 5)), now=BEGUN + 12) == 7  # pyright: ignore  # the first noted no end


def a_study(folder: Path, took: dict[str, float | None]) -> Path:
    """Runs by name, with how long those took that are done."""
    entries = []
    for name, seconds in took.items():
        nodes, lr, repeat = name.split("-")
        request = Request(nodes=(int(nodes[1:]),), name=name)
        run = run_of(plan(request, here=LAPTOP, machine=EIGHT_CORES), folder / name)
        entries.append({"run": name, "nodes": int(nodes[1:]), "values": {"lr": lr[2:]}, "repeat": int(repeat[1:])})
        if seconds is not None:
            for event in of(("started", 0), ("ended", seconds)):
                append_line(run.events_jsonl, event | {"outcome": "done"})
            publish_json(run.result_json, {"status": "done"})
    publish_json(folder / INDEX, {"workload": "tiny", "scaling": "weak", "runs": entries})
    return folder


def test_by_point_then_by_nodes_then_by_all(tmp_path: Path):
    folder = a_study(
        tmp_path / "s",
        {
            "n1-lr1-r1": 10,
            "n1-lr1-r2": 20,
            "n1-lr2-r1": 90,
            "n2-lr1-r1": 40,
            "n1-lr1-r3": None,
            "n1-lr3-r1": None,
            "n4-lr1-r1": None,
        },
    )
    estimate = eta.Estimate(folder)
    assert estimate.left_s({"n1-lr1-r3": 0.0}, []) is None  # nothing is known yet
    estimate.learn_all()
    assert estimate.seconds(["n1-lr1-r3", "n1-lr3-r1", "n4-lr1-r1"]) == [15, 40, 40]
    assert estimate.left_s({}, ["n4-lr1-r1"]) is None  # waiting in a queue takes nobody knows how long
    assert estimate.left_s({"n1-lr1-r3": 5.0}, ["n1-lr3-r1", "n4-lr1-r1"]) == 10 + 40 + 40
    assert estimate.left_s({"n1-lr1-r3": 5.0, "n4-lr1-r1": 10.0}, ["n1-lr3-r1"]) == pytest.approx((10 + 30 + 40) / 2)
    assert estimate.left_s({"n1-lr1-r3": 99.0, "n4-lr1-r1": 0.0}, []) == 40  # no less than the longest of them
    assert eta.text(90.0) == "about 00:01:30 left" and eta.text(None) == ""


def test_status_and_list_say_it(tmp_path: Path):
    folder = a_study(tmp_path / "s", {"n1-lr1-r1": 3600, "n1-lr1-r2": None, "n1-lr1-r3": None})
    job = {"backend": "slurm", "shape": "pack", "runs": ["n1-lr1-r2", "n1-lr1-r3"], "saves": False, "name": "s", "id": "7", "state": "submitted"}  # fmt: skip
    (folder / "jobs" / "1").mkdir(parents=True)
    publish_json(folder / "jobs" / "1" / "job.json", job)
    started = {"event": "started", "time": time.time() - 600, "attempt": 1, "host": "h", "pid": 1, "submission": 1}
    append_line(RunDir(folder / "n1-lr1-r2").events_jsonl, started)
    said = launch("status", folder)
    assert said.returncode == 0 and f"{folder}: about 01:" in said.stdout  # 50 minutes, then 60
    told = json.loads(launch("list", folder, "--json").stdout)[0]["left_s"]
    assert told == pytest.approx(3000 + 3600, abs=60)
