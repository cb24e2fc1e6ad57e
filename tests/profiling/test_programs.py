"""Programs of the user's own that record no more than they have to: whose a line is, and what is made of it everywhere."""

import json
import shutil
from pathlib import Path

import pytest
import studies

from launch.errors import Refusal
from launch.record.performance.steps import StepReader, reported
from launch.record.rundir import RunDir
from launch.submit.study import scaling_table
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


def uneven(folder: Path, scaling: str = "weak", **plan: object) -> Path:
    """A study whose last rank takes twice as long as the others for each step of its own."""
    made = study(folder, scaling, examples=8)
    for run in made.glob("n*-r*"):
        studies.change_json(run / "run.json", **plan)
        file = max((run / "steps").iterdir(), key=lambda path: path.name)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        lines[1::2] = [line | {"seconds": 0.2} for line in lines[1::2]]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


@pytest.mark.parametrize("independent", [True, False])
def test_of_ranks_that_do_not_wait_for_each_other_the_slowest_counts_everywhere(tmp_path: Path, independent: bool):
    folder = uneven(tmp_path / "study", "strong", independent=independent)
    series, _ = inputs.series(folder, None)
    assert [point.throughput for point in series.points] == pytest.approx([80, 160])
    for run, ranks in (("n1-r1", 2), ("n2-r2", 4)):
        result = reported(RunDir(folder / run), ranks)
        assert result["throughput_examples_per_s"] == pytest.approx(40 * ranks)  # as in the report
        assert result["slowest_to_fastest_rank"] == pytest.approx(2)
        timed = steps.read(RunDir(folder / run), ranks)
        assert timed.rank == ranks - 1 and timed.lengths == pytest.approx(0.2)
    notes = runs.notes(runs.read(folder))
    (said,) = [line for line in notes if "slowest rank takes 2 times as long" in line]
    assert "its time counts" in said and ("on their own" in said) == independent
    assert [line for line in notes if line.startswith("weak scaling, although strong was asked for")]


def test_of_many_steps_the_last_ones_of_each_rank_are_compared(tmp_path: Path):
    run = finished(tmp_path / "run", 2, 1)
    shutil.rmtree(run.steps)
    run.steps.mkdir()
    for node in range(2):
        many = [{"step": step, "start": 1.7e9, "seconds": 0.1 + 0.1 * node, "examples": 1} for step in range(3000)]
        append(run.node_steps(node), *(line | {"rank": 2 * node + r} for line in many for r in range(2)))
    assert reported(run, 4)["throughput_examples_per_s"] == pytest.approx(4 / 0.2)


def plain(folder: Path, seconds: dict[int, float], scaling: str = "weak", repeats: int = 2, **results: dict) -> Path:
    """A study without steps, on one node of two ranks and more; ``results`` by "n<nodes>" are those of their runs."""
    entries = []
    for nodes in seconds:
        for repeat in range(1, repeats + 1):
            name = f"n{nodes}-r{repeat}"
            run = finished(folder / name, nodes, repeat)
            shutil.rmtree(run.steps)
            result = {"phases_s": {"run": seconds[nodes]}, **results.get(f"n{nodes}", {})}
            studies.change_json(run.result_json, **result)
            entries.append({"run": name, "nodes": nodes, "values": {}, "repeat": repeat})
    studies.publish_json(folder / "study.json", {"workload": "/home/u/solver.py", "scaling": scaling, "runs": entries})
    return folder


def printing(folder: Path, fom: dict, **metrics: list[float]) -> None:
    """Let the runs on 1, 2, 4 nodes have printed figures."""
    for place, nodes in enumerate((1, 2, 4)[: len(next(iter(metrics.values())))]):
        for path in folder.glob(f"n{nodes}-r*"):
            studies.change_json(path / "run.json", fom=fom)
            found = {name: values[place] for name, values in metrics.items()}
            units = {name: figure["unit"] for name, figure in fom.items() if "unit" in figure}
            studies.change_json(path / "result.json", metrics=found, units=units)


def figure(kind: str, unit: str) -> dict:
    return {"pattern": "x ([0-9]+)", "kind": kind, "unit": unit}


@pytest.mark.parametrize(
    ("scaling", "unit", "rates", "efficiency"),
    [("weak", "rank-runs/s", (2 / 8, 4 / 5), 1.6), ("strong", "runs/s", (1 / 8, 1 / 5), 0.8)],
)
def test_without_records_the_table_is_of_the_times_of_the_runs(
    tmp_path: Path, scaling: str, unit: str, rates: tuple, efficiency: float
):
    folder = plain(tmp_path / "study", {1: 8.0, 2: 5.0}, scaling)
    series, _ = inputs.series(folder, None)
    assert (series.unit, series.kind) == (unit, scaling)
    assert [point.throughput for point in series.points] == pytest.approx(rates)
    content = json.loads(report.run([str(folder), "--json"]), parse_constant=pytest.fail)
    assert content["whole"] and [row["run_seconds"] for row in content["rows"]] == [8, 5]
    assert content["rows"][1]["efficiency"] == pytest.approx(efficiency)
    said = "\n".join(content["notes"])
    assert "start-up included" in said and "(--scaling)" in said
    assert ("if all sizes solve the same problem" in said) == (scaling == "weak")
    if scaling == "strong":
        assert f"[{unit}]" in report.run([str(folder)])
        names = ("report.md", "table.tex", "index.html", "table.csv", "runs.csv")
        pages = "".join((folder / "report" / name).read_text() for name in names)
        assert "mean time [s]" in pages and "examples/s" not in pages and "per step" not in pages
        assert not (folder / "report" / "figures" / "steps.svg").exists()
    predicted = predict.run([str(folder), "--nodes", "4"])
    assert "run [s]" in predicted and "training" not in predicted and unit in predicted
    other = {"weak": "strong", "strong": "weak"}[scaling]  # the report need not be what the study was asked for
    assert inputs.series(folder, None, other)[0].kind == other
    assert f",{other}," in export.run([str(folder), "--to", "csv", "--scaling", other])


def test_at_the_end_of_a_study_of_several_series_it_says_which(tmp_path: Path):
    folder = plain(tmp_path / "study", {1: 8.0, 2: 5.0})
    index = json.loads((folder / "study.json").read_text())
    for entry in index["runs"]:
        entry["values"] = {"mesh": str(entry["repeat"])}
    studies.publish_json(folder / "study.json", index)
    said = scaling_table.of(folder)
    assert "report" in said and "--series" in said and f"table {folder}" in said
    studies.publish_json(folder / "study.json", index | {"runs": index["runs"][:1]})
    said = scaling_table.of(folder)
    assert "--series" not in said and f"table {folder}" in said


def test_the_report_at_the_end_of_a_study_overwrites_nothing_that_was_said(tmp_path: Path):
    folder = plain(tmp_path / "study", {1: 8.0, 2: 5.0})
    report.run([str(folder), "--remark", "mine"])
    assert "speed-up" in scaling_table.of(folder)
    assert json.loads((folder / "report" / "report.json").read_text())["about"]["remark"] == "mine"
    studies.publish_json(tmp_path / "workflow.json", {"stages": []})
    (folder / "report" / "report.json").unlink()
    assert "speed-up" not in scaling_table.of(folder) and not (folder / "report" / "report.json").exists()


def test_of_an_old_run_the_time_is_that_between_its_events(tmp_path: Path):
    folder = plain(tmp_path / "study", {1: 8.0, 2: 5.0})
    for path in folder.glob("n*/result.json"):
        studies.change_json(path, phases_s={})
    assert [run.seconds for run in runs.read(folder).runs] == [30] * 4


def test_what_a_program_prints_is_its_throughput_in_its_unit(tmp_path: Path):
    folder = plain(tmp_path / "study", {1: 8.0, 2: 5.0, 4: 4.0})
    fom = {"v": figure("speed", "ns/day"), "loop": figure("time", "s"), "atoms": figure("work", "atoms")}
    printing(folder, fom, v=[10, 18, 30], loop=[3.6, 2, 1.2], atoms=[1000, 1000, 1000])
    series, _ = inputs.series(folder, None)  # by the work that it reports, whatever was asked for
    assert (series.unit, series.kind) == ("ns/day", "strong")
    assert [point.throughput for point in series.points] == pytest.approx([10, 18, 30])
    content = json.loads(report.run([str(folder), "--json"]), parse_constant=pytest.fail)
    assert [row["efficiency"] for row in content["rows"]] == pytest.approx([1, 0.9, 0.75])
    assert content["work_unit"] == "atoms" and "(--scaling)" not in "\n".join(content["notes"])
    predicted = json.loads(predict.run([str(folder), "--nodes", "2", "--json"]))["predictions"][0]
    assert predicted["training_seconds"]["value"] == pytest.approx(36 / predicted["throughput"], rel=1e-6)
    first, second = summary.run([str(folder / "n1-r1")]), summary.run([str(folder / "n2-r1"), "--json"])
    assert "loop" in first and json.loads(second)["metrics"]["atoms"] == 1000


def test_a_speed_where_the_work_grows_is_times_the_work(tmp_path: Path):
    folder = plain(tmp_path / "study", {1: 8.0, 2: 8.0, 4: 8.0}, "strong")
    fom = {"v": figure("speed", "ns/day"), "atoms": figure("work", "atoms")}
    printing(folder, fom, v=[10, 9, 8], atoms=[1000, 2010, 3990])  # within 2 %
    series, _ = inputs.series(folder, None)
    assert (series.unit, series.kind) == ("atoms x ns/day", "weak")
    assert [point.throughput for point in series.points] == pytest.approx([10000, 18090, 31920])
    printing(folder, fom, v=[10, 9, 8], atoms=[1000, 1500, 2000])
    with pytest.raises(Refusal, match="neither the work per rank .* nor that of all"):
        inputs.series(folder, None)


def recording(folder: Path, fom: dict, batch, **metrics: list[float]) -> Path:
    """A study of a program that records steps of 0.05 s and prints figures."""
    studies.make(folder, repeats=2, seconds=lambda ranks, repeat: 0.05, batch=batch)
    for path in folder.glob("n*-r*"):
        studies.change_json(path / "run.json", kind="program")
        (path / "training.json").unlink()
    printing(folder, fom, **metrics)
    return folder


def test_recorded_work_counts_for_what_is_printed(tmp_path: Path):
    speed = recording(
        tmp_path / "speed", {"v": figure("speed", "ns/day")}, lambda ranks: 100 * ranks, v=[5.0, 5.0, 4.0]
    )
    series, _ = inputs.series(speed, None)
    assert (series.unit, series.kind) == ("examples x ns/day", "weak")
    assert [point.throughput for point in series.points] == pytest.approx([500, 1000, 1600])
    form = json.loads(report.run([str(speed), "--json"]))["committees"][1]
    assert form["header"][-1] == "node-hours / examples x ns" and float(form["rows"][1][-1]) == pytest.approx(0.048)
    time = recording(tmp_path / "time", {"t": figure("time", "s")}, lambda ranks: 100, t=[10.0, 5.0, 2.5])
    series, _ = inputs.series(time, None)  # although the study was called weak scaling
    assert (series.unit, series.kind) == ("runs/s", "strong")
    assert [point.throughput for point in series.points] == pytest.approx([0.1, 0.2, 0.4])


@pytest.mark.parametrize("kind", ["rate", "time"])
def test_rates_and_times_that_are_printed(tmp_path: Path, kind: str):
    folder = plain(tmp_path / "study", {1: 8.0, 2: 5.0, 4: 4.0}, "strong")
    printing(folder, {"figure": figure(kind, {"rate": "GFLOP/s", "time": "h"}[kind])}, figure=[4, 2, 1])
    series, _ = inputs.series(folder, None)
    assert series.unit == {"rate": "GFLOP/s", "time": "runs/h"}[kind] and series.kind == "strong"
    assert [point.throughput for point in series.points] == pytest.approx(
        [4, 2, 1] if kind == "rate" else [0.25, 0.5, 1]
    )
    forms = json.loads(report.run([str(folder), "--json"]))["committees"]
    assert forms[1]["header"][-1] == "node-hours / run"
    assert forms[0]["rows"][0][1] == {"rate": "8 s", "time": "14400 s"}[kind]


def test_other_units_and_figures_that_are_missing_are_left_out_and_said(tmp_path: Path):
    folder = plain(tmp_path / "study", {1: 8.0, 2: 5.0, 4: 4.0}, repeats=3)
    printing(folder, {"v": figure("rate", "MB/s")}, v=[10, 18, 30])
    studies.change_json(folder / "n2-r1" / "result.json", units={"v": "GB/s"})
    studies.change_json(folder / "n4-r1" / "result.json", metrics={}, troubles=["v: its pattern matches nothing"])
    left = runs.read(folder).left_out
    assert set(left) == {"n2-r1", "n4-r1"} and "throughput in GB/s, others MB/s" in left["n2-r1"]
    assert left["n4-r1"] == "its throughput is not known: v: its pattern matches nothing"
    content = json.loads(report.run([str(folder), "--json"]))
    assert content["unit"] == "MB/s" and [left["run"] for left in content["left_out"]] == ["n2-r1", "n4-r1"]


def test_the_figures_of_a_program_that_records_its_steps_too(tmp_path: Path):
    folder = study(tmp_path / "study", "strong", examples=8)
    printing(folder, {"v": figure("rate", "GFLOP/s")}, v=[10, 18])
    series, chosen = inputs.series(folder, None)
    assert series.unit == "GFLOP/s" and chosen is not None and not chosen.whole
    content = json.loads(report.run([str(folder), "--json"]))
    assert "printed (--fom v)" in content["notes"][0] and "steps of 4 runs are timed" in content["notes"][1]
    assert content["whole"] is False and content["rows"][0]["step_seconds"] == pytest.approx(0.1)


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
