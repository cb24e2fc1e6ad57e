"""Programs of the user's own that record no more than they have to: whose a line is, and what is made of it everywhere."""

import json
import shutil
from pathlib import Path

import pytest
import studies

from launch.errors import Refusal
from launch.record.rundir import RunDir
from launch.record.steps import StepReader, reported
from profiling.cli import export, inputs, mllog, predict, report, summary, watch
from profiling.study import runs, steps


def append(path: Path, *lines: dict) -> None:
    with open(path, "a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def finished(path: Path, nodes: int, repeat: int, **keys: object) -> RunDir:
    """A run of two ranks per node, whose steps of 0.1 s are in the files of the nodes, without the rank that made them."""
    run = studies.run(path, 2 * nodes, 8, 1.0, repeat)
    run.training_json.unlink()
    shutil.rmtree(run.steps)
    run.steps.mkdir()
    studies.change_json(run.run_json, kind="script", nodes=nodes, ranks_per_node=2, workload="/home/u/solver.py")
    result = {"status": "done", "nodes": nodes, "ranks": 2 * nodes, "steps": 20, "attempts": 1}
    run.result_json.write_text(json.dumps(result))
    for node in range(nodes):
        for step in range(1, 21):
            line = {"step": step, "start": 1.7e9 + 100 * repeat + step, "seconds": 0.1, **keys}
            append(run.node_steps(node), line, line)
    return run


def study(folder: Path, scaling: str = "weak", **keys: object) -> Path:
    entries = []
    for nodes, repeat in ((1, 1), (1, 2), (2, 1), (2, 2)):
        finished(folder / f"n{nodes}-r{repeat}", nodes, repeat, **keys)
        entries.append({"run": f"n{nodes}-r{repeat}", "nodes": nodes, "values": {}, "repeat": repeat})
    studies.publish_json(folder / "study.json", {"workload": "/home/u/solver.py", "scaling": scaling, "runs": entries})
    return folder


@pytest.mark.parametrize(
    ("keys", "scaling", "unit", "rates", "kind"),
    [
        ({"examples": 8}, "strong", "examples/s", (160, 320), "weak"),  # by what the runs did
        ({}, "weak", "rank-steps/s", (20, 40), "weak"),
        ({}, "strong", "steps/s", (10, 10), "strong"),
    ],
)
def test_three_keys_are_enough(tmp_path: Path, keys: dict, scaling: str, unit: str, rates: tuple, kind: str):
    folder = study(tmp_path / "study", scaling, **keys)
    series, _ = inputs.series(folder, None)
    assert (series.unit, series.kind, series.name) == (unit, kind, "solver.py")
    assert [point.throughput for point in series.points] == pytest.approx(rates)
    assert f"[{unit}]" in report.run([str(folder)])
    content = json.loads((folder / "report" / "report.json").read_text(), parse_constant=pytest.fail)  # no NaN
    assert "/home/u" not in json.dumps(content) and {row["communication_share"] for row in content["rows"]} == {None}
    assert ("global_batch" in content["absent"]) is not bool(keys) and "own_seconds" in str(content["absent"])
    assert unit in predict.run([str(folder), "--nodes", "4"]) and unit in export.run([str(folder), "--to", "csv"])
    assert unit.replace("rank-", "") in summary.run([str(folder / "n2-r1")])
    assert "  step 20" in watch.run([str(folder / "n2-r1"), "--once"])
    with pytest.raises(Refusal):
        mllog.run([str(folder / "n2-r1")])


def test_without_records_there_is_advice_that_holds(tmp_path: Path):
    folder = study(tmp_path / "study")
    for path in folder.glob("n*/steps/*"):
        path.unlink()
    with pytest.raises(Refusal, match="rankloop.steps") as refused:
        runs.read(folder)
    assert "resume" not in str(refused.value)


def test_whose_a_line_is(tmp_path: Path):
    run = finished(tmp_path / "run", 2, 1, examples=8)
    append(run.rank_steps(3), {"step": 9, "start": 1, "seconds": 1}, {"step": 9, "start": 1, "seconds": 1, "rank": 1})
    assert [step["rank"] for step in StepReader(run).read(run.rank_steps(3))] == [3, 1]
    assert [step["rank"] for step in StepReader(run).read(run.node_steps(1))][:4] == [2, 3, 2, 3]
    run.rank_steps(3).unlink()
    began = run.events("started")[0]["time"]
    append(run.events_jsonl, {"event": "started", "time": began + 50})
    for node in (0, 1):  # the time of a line tells its attempt
        for step in (20, 21):
            line = {"step": step, "start": began + 50 + step, "seconds": 0.2, "examples": 8}
            append(run.node_steps(node), line, line)
    timed = steps.read(run, 4)
    assert list(timed.number[-3:]) == [19, 20, 21] and (timed.seconds[:, -3:] == [0.1, 0.2, 0.2]).all()


def test_one_rank_that_records_speaks_for_all(tmp_path: Path):
    run = finished(tmp_path / "run", 2, 1, examples=8)
    run.node_steps(1).unlink()
    lines = run.node_steps(0).read_text().splitlines()[::2]
    run.node_steps(0).unlink()
    run.rank_steps(0).write_text("\n".join([*lines, '{"metrics": {"residual": 1e-9, "bad": NaN, "text": "x"}}', "{"]))
    timed = steps.read(run, 4)
    assert timed.throughput == pytest.approx(80) and any("rank 0 alone" in doubt for doubt in timed.doubts)
    result = reported(run, 4)
    assert result["throughput_examples_per_s"] == pytest.approx(80) and result["steps"] == 20
    assert result["metrics"] == {"residual": 1e-9}


def test_a_batch_that_is_left_over_is_not_timed(tmp_path: Path):
    run = finished(tmp_path / "run", 1, 1, examples=8)
    studies.change(run.node_steps(0), lambda line: line | {"examples": 3 if line["step"] in (10, 20) else 8})
    timed = steps.read(run, 2)
    assert timed.throughput == pytest.approx(160) and timed.left_out["of another batch"] == 2
