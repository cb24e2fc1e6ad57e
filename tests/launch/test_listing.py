"""Studies and runs in a line each, and how efficient the runs of a study are."""

import json
from pathlib import Path

import pytest
from launched import launch
from plans import EIGHT_CORES, LAPTOP, plan, run_of

from launch.plan.request import Request
from launch.record.rundir import RunDir
from launch.record.study import INDEX
from launch.record.writing import append_line, publish_json
from launch.submit import places, states
from launch.submit.study import efficiency

BEGUN = 1_700_000_000.0


def made(path: Path, nodes: int, speed: float | None = None, ranks: int = 2) -> RunDir:
    """A run; with a speed (examples/s of all ranks) a finished one, without it one that has failed."""
    request = Request(nodes=nodes, ranks_per_node=ranks, name=path.name)
    run = run_of(plan(request, here=LAPTOP, machine=EIGHT_CORES), path)
    append_line(run.events_jsonl, {"event": "submitted", "time": BEGUN})
    append_line(run.events_jsonl, {"event": "started", "time": BEGUN, "attempt": 1, "host": "h", "pid": 1})
    outcome = "failed" if speed is None else "done"
    append_line(run.events_jsonl, {"event": "ended", "time": BEGUN + 9, "attempt": 1, "outcome": outcome, "status": 1})
    if speed is not None:
        publish_json(run.result_json, {"status": "done", "throughput_examples_per_s": speed, "steps": 4, "epochs": 1})
    return run


def study(folder: Path, speeds: dict[tuple[int, str, int, int], float | None]) -> Path:
    """A study by nodes, learning rate, seed and repeat."""
    folder.mkdir(parents=True)
    entries = []
    for (nodes, lr, seed, repeat), speed in speeds.items():
        name = f"n{nodes}-lr{lr}-seed{seed}-r{repeat}"
        made(folder / name, nodes, speed)
        entries.append({"run": name, "nodes": nodes, "values": {"lr": lr, "seed": str(seed)}, "repeat": repeat})
    publish_json(folder / INDEX, {"workload": "tiny", "scaling": "weak", "throttle": None, "runs": entries})
    return folder


SPEEDS = {
    (1, "0.1", 0, 1): 100.0, (1, "0.1", 1, 1): 300.0, (4, "0.1", 0, 1): 480.0, (4, "0.1", 0, 2): None,
    (1, "0.2", 0, 1): 200.0, (2, "0.2", 0, 1): 300.0, (2, "0.3", 0, 1): 700.0,
}  # fmt: skip


def test_efficiency_is_against_the_fewest_nodes_of_the_same_point(tmp_path: Path):
    folder = study(tmp_path / "s", SPEEDS)
    known, _ = states.look(places.find([folder]))
    found = {path.name: value for path, value in efficiency.so_far(folder, known).items()}
    # The harmonic mean of 100 and 300 is 150; a run of the fewest nodes is judged against that as well.
    assert found == pytest.approx(
        {
            "n1-lr0.1-seed0-r1": 100 / 150, "n1-lr0.1-seed1-r1": 300 / 150, "n4-lr0.1-seed0-r1": 480 / 4 / 150,
            "n1-lr0.2-seed0-r1": 1.0, "n2-lr0.2-seed0-r1": 0.75,
        }
    )  # fmt: skip
    # One run alone is judged in the same way, by files that are not asked for.
    one, _ = states.look([folder / "n4-lr0.1-seed0-r1"])
    assert list(efficiency.so_far(folder, one).values()) == pytest.approx([0.8])


def test_without_several_node_counts_there_is_none(tmp_path: Path):
    folder = study(tmp_path / "s", {(2, "0.1", 0, 1): 100.0, (2, "0.2", 0, 1): 50.0})
    assert efficiency.so_far(folder, states.look(places.find([folder]))[0]) == {}


def test_status_shows_it(tmp_path: Path):
    folder = study(tmp_path / "s", SPEEDS)
    done = launch("status", folder)
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    place = head.index("efficiency")
    told = {Path(row.split()[0]).name: row[place : place + 10].strip() for row in rows}
    assert told["n4-lr0.1-seed0-r1"] == "80%" and told["n2-lr0.3-seed0-r1"] == told["n4-lr0.1-seed0-r2"] == ""
    told = {Path(one["path"]).name: one for one in json.loads(launch("status", folder, "--json").stdout)}
    assert told["n2-lr0.2-seed0-r1"]["efficiency"] == pytest.approx(0.75)
    assert told["n2-lr0.2-seed0-r1"]["bad_nodes"] == []
    (folder / INDEX).write_text('{"runs": ')
    damaged = launch("status", folder)
    assert damaged.returncode == 0 and len(damaged.stdout.splitlines()) == 8
    assert damaged.stderr.count("\n") == 1 and "study.json is damaged" in damaged.stderr


def test_a_line_a_study_and_a_line_a_run(tmp_path: Path):
    study(tmp_path / "runs" / "s2", SPEEDS)
    made(tmp_path / "runs" / "alone", 3)
    study(tmp_path / "runs" / "s10", {(1, "0.1", 0, 1): 1.0})
    done = launch("list", tmp_path / "runs")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.split()[:6] == ["name", "kind", "workload", "runs", "nodes", "states"]
    cells = {Path(row.split()[0]).name: row.split() for row in rows}
    assert list(cells) == ["alone", "s2", "s10"]
    assert cells["alone"][1:7] == ["run", "/home/u/simulate.py", "1", "3", "1", "failed"]
    assert cells["s2"][1:9] == ["study", "/home/u/simulate.py", "7", "1,2,4", "6", "done,", "1", "failed"]
    told = {Path(one["path"]).name: one for one in json.loads(launch("list", tmp_path / "runs", "--json").stdout)}
    assert told["s2"]["states"] == {"done": 6, "failed": 1} and told["s2"]["since"] == BEGUN + 9
    assert told["alone"] | {"path": ""} == {
        "path": "", "kind": "run", "stranger_in": None, "left_s": None, "workload": "/home/u/simulate.py", "runs": 1, "nodes": [3], "states": {"failed": 1},
        "since": BEGUN + 9, "throughput": None, "unit": None,
    }  # fmt: skip


def test_list_of_nothing_is_refused(tmp_path: Path):
    for words, says in (([tmp_path], "has no run in it"), ([tmp_path, "--jsno"], "unknown option --jsno of list")):
        refused = launch("list", *words)
        assert refused.returncode == 2 and says in refused.stderr and refused.stderr.count("\n") == 1
