"""The table of a sweep: a row per point, whatever has become of its runs."""

import csv
import io
import json
import math
import os
import re
from pathlib import Path

import pytest
import studies

from launch.errors import Refusal
from launch.record.rundir import RunDir
from profiling.cli import report, table
from profiling.study import confidence


def made(folder: Path, runs: list[tuple[int, dict, dict | None]], **result: object) -> Path:
    """A study: nodes, values and metrics of each run; None has not begun."""
    entries, counts = [], {}
    for nodes, values, metrics in runs:
        repeat = counts[nodes, str(values)] = counts.get((nodes, str(values)), 0) + 1
        name = f"n{nodes}-{len(entries)}"
        run = RunDir(folder / name)
        run.create()
        studies.publish_json(run.run_json, studies.PLAN | {"name": name, "kind": "script", "nodes": nodes, "workload": "/home/u/train.py"})  # fmt: skip
        if metrics is not None:
            ended = {"event": "ended", "outcome": "done", "time": 1.7e9 + 2 + len(entries)}
            run.events_jsonl.write_text("\n".join(map(json.dumps, ({"event": "started", "time": 1.7e9}, ended))))
            run.result_json.write_text(json.dumps({"status": "done", "metrics": metrics, **result}))
        entries.append({"run": name, "nodes": nodes, "values": values, "repeat": repeat})
    studies.publish_json(folder / "study.json", {"workload": "/home/u/train.py", "runs": entries})
    return folder


def asked(folder: Path, *words: str) -> dict:
    return json.loads(table.run([str(folder), *words, "--format", "json"]), parse_constant=pytest.fail)


def test_points_are_sorted_by_the_mean_and_none_is_hidden(tmp_path: Path):
    folder = made(
        tmp_path / "s",
        [
            (1, {"lr": "1e-1", "net": "[8, 8]"}, {"accuracy": 0.5, "test_error": 0.1}),
            (1, {"lr": "1e-1", "net": "[8, 8]"}, {"accuracy": 0.7}),
            (1, {"lr": "0.010", "net": 'a|"b"'}, {"accuracy": 0.9, "text": "x"}),
            (1, {"lr": "0.010", "net": 'a|"b"'}, {"accuracy": float("nan")}),
            (1, {"lr": "2", "net": "x"}, None),
            (1, {"lr": "3", "net": "x"}, {"loss": 1}),
        ],
    )
    content = asked(folder, "--by", "accuracy")
    assert [point["values"]["lr"] for point in content["points"]] == ["0.010", "1e-1", "2", "3"]
    best, second, *others = [point["figures"].get("accuracy") for point in content["points"]]
    assert (best["repeats"], best["mean"], best["sd"], best["best_run"]) == (1, 0.9, None, "n1-2")
    assert (second["mean"], second["best"], second["worst"]) == (pytest.approx(0.6), 0.7, 0.5)
    assert second["sd"] == pytest.approx(0.02**0.5) and others == [None, None]
    reach = math.exp(12.7062 * math.log(0.7 / 0.5) / 2)  # of two repeats: Student's t of one degree of freedom
    assert second["interval"]["high"] / second["mean"] == pytest.approx(reach, rel=1e-4)
    whys = {left["run"]: left["why"] for left in content["left_out"]}
    assert whys == {"n1-3": "its accuracy is nan", "n1-4": "planned", "n1-5": "it has no accuracy"}
    shown = table.run([str(folder), "--by", "accuracy"])
    assert "1 of 2" in shown and "left out: n1-4: planned" in shown and "nodes" not in shown and "[8, 8]" in shown
    assert r"a\|" in table.run([str(folder), "--by", "accuracy", "--format", "markdown"])
    rows = list(csv.DictReader(io.StringIO(table.run([str(folder), "--format", "csv"]))))
    assert [row["net"] for row in rows] == ["[8, 8]", 'a|"b"', "x", "x"] and rows[0]["accuracy"] == "0.6"
    assert [row["repeats"] for row in rows] == ["2", "2", "0", "1"] and rows[1]["asked"] == "2"
    assert table.run([str(folder), "--out", str(tmp_path / "t.txt")]).startswith("4 points")
    assert (tmp_path / "t.txt").read_text() == table.run([str(folder)]) + "\n"


def test_figures_are_compared_in_one_unit(tmp_path: Path):
    folder = made(tmp_path / "s", [(1, {"lr": lr}, {"rate": 100.0, "n": 1}) for lr in "123"], units={"rate": "MB/s"})
    other = RunDir(folder / "n1-2")
    other.result_json.write_text('{"status": "done", "metrics": {"rate": 400, "n": 1}, "units": {"rate": "GB/s"}}')
    content = asked(folder, "--by", "rate")
    assert [point["figures"].get("rate", {}).get("mean") for point in content["points"]] == [100, 100, None]
    assert content["units"] == {"rate": "MB/s"} and "rate [MB/s]" in table.run([str(folder)])
    assert [(left["run"], "GB/s" in left["why"]) for left in content["left_out"]] == [("n1-2", True)]


@pytest.mark.parametrize(
    ("figure", "words", "first"),
    [
        ("accuracy", [], 0.9),
        ("accuracy", ["--smallest"], 0.1),
        ("test_error", [], 0.1),
        ("test error", ["--largest"], 0.9),
        ("times_better", [], 0.9),
        ("iou", [], 0.1),  # as the workload's target says
    ],
)
def test_which_is_the_best(tmp_path: Path, figure: str, words: list[str], first: float):
    name = figure.replace(" ", "_")
    folder = made(tmp_path / "s", [(1, {"x": str(value)}, {name: value}) for value in (0.5, 0.1, 0.9)])
    training = {"steps": 1, "steps_per_epoch": 1, "epochs": 1, "global_batch": 1, "target": ["iou", "<=", 0.5]}
    studies.publish_json(folder / "n1-0" / "training.json", training)
    content = asked(folder, "--by", figure, *words)
    assert content["points"][0]["figures"][name]["mean"] == first


def test_seeds_are_repeats_nodes_are_points_and_six_make_an_interval(tmp_path: Path):
    values = (0.5, 0.51, 0.52, 0.49, 0.5, 0.53)
    runs = [(nodes, {"seed": str(seed)}, {"f": value}) for nodes in (1, 4) for seed, value in enumerate(values)]
    content = asked(made(tmp_path / "s", runs, throughput_examples_per_s=100.0), "--by", "f")
    assert [(point["nodes"], point["done"], point["values"]) for point in content["points"]] == [(1, 6, {}), (4, 6, {})]
    interval = content["points"][0]["figures"]["f"]["interval"]
    assert 0.49 < interval["low"] < sum(values) / 6 < interval["high"] < 0.53
    shown = table.run([str(tmp_path / "s")])
    assert shown.splitlines()[2].split() == ["nodes", "repeats", "f", "throughput", "[examples/s]", "time"]
    times = [point["figures"]["time"]["mean"] for point in asked(tmp_path / "s", "--by", "time")["points"]]
    assert times == pytest.approx([2 + 2.5, 2 + 8.5])
    begun = tmp_path / "s" / "n1-0"  # its end is not noted yet, but it has left its result
    (begun / "events.jsonl").write_text('{"event": "started", "time": 1.7e9}')
    os.utime(begun / "result.json", (1.7e9 + 5, 1.7e9 + 5))
    assert asked(tmp_path / "s", "--by", "time")["points"][0]["figures"]["time"]["worst"] == pytest.approx(7)


def test_the_interval_of_what_is_positive_in_all_runs_does_not_go_below_zero(tmp_path: Path):
    runs = [(1, {"x": "a"}, {"took": 0.1, "change": -1.0}), (1, {"x": "a"}, {"took": 0.16, "change": 2.0})]
    folder = made(tmp_path / "s", runs)
    interval = asked(folder, "--by", "took")["points"][0]["figures"]["took"]["interval"]
    reach = math.exp(12.7062 * math.log(1.6) / 2)
    assert (interval["low"], interval["high"]) == pytest.approx((0.13 / reach, 0.13 * reach), rel=1e-4)
    assert "Student's t of the logarithms" in table.run([str(folder), "--by", "took"])
    signed = asked(folder, "--by", "change")
    interval = signed["points"][0]["figures"]["change"]["interval"]
    assert (interval["low"], interval["high"]) == pytest.approx((0.5 - 12.7062 * 1.5, 0.5 + 12.7062 * 1.5), rel=1e-4)
    assert not signed["logarithms"]


def test_the_throughput_of_a_printed_time_sorts_too(tmp_path: Path):
    runs = [(1, {"x": x}, {"time": float(x)}) for x in ("4", "2")]
    folder = made(tmp_path / "s", runs, units={"time": "s"}, unit="runs/s")
    for name, rate in (("n1-0", 0.25), ("n1-1", 0.5)):
        studies.change_json(folder / name / "result.json", throughput=rate)
    content = asked(folder, "--by", "throughput")
    assert [point["figures"]["throughput"]["mean"] for point in content["points"]] == [0.5, 0.25]
    assert content["units"] == {"throughput": "runs/s"}


def test_the_interval_of_a_mean_moves_with_its_values():
    values = (1.0, 2.0, 4.0, 3.0, 2.5, 7.0)
    interval, moved = confidence.mean(values), confidence.mean(tuple(value - 10 for value in values))
    assert interval and moved and (moved.low, moved.high) == pytest.approx((interval.low - 10, interval.high - 10))
    assert confidence.mean((3.0,) * 6) == confidence.Interval(3.0, 3.0) and confidence.mean(values[:5]) is None


def test_the_report_of_a_sweep_has_its_table_and_parallel_coordinates(tmp_path: Path):
    values = [(lr, net) for lr in ("0.1", "0.001", "7") for net in ("a", "b & <c>")]
    runs = [(1, {"lr": lr, "net": net}, {"accuracy": 1 - float(lr) / 8, "loss": 2}) for lr, net in values]
    folder = made(tmp_path / "s", [*runs, (1, {"lr": "7", "net": "z"}, None)])
    printed = report.run([str(folder), "--by", "accuracy"])
    assert printed.splitlines()[3].split()[:2] == ["0.001", "a"] and printed.endswith(
        f"report: {folder}/report/index.html"
    )
    content = json.loads((folder / "report" / "report.json").read_text(), parse_constant=pytest.fail)
    assert len(content["sweep"]["points"]) == 7 and [left["run"] for left in content["left_out"]] == ["n1-6"]
    page = (folder / "report" / "index.html").read_text()
    assert "7 points: 6 of 7 runs are done. The largest mean accuracy is 0.99987, at lr = 0.001, net = a." in page
    titles = re.findall(
        r"<title>(lr=.*?)</title>", (folder / "report" / "figures" / "parallel_coordinates.svg").read_text()
    )
    assert len(titles) == 6 and titles[-1] == "lr=0.001, net=a: accuracy 0.99987, 1 repeat"  # the best is on top
    assert r"b \& <c>" in (folder / "report" / "table.tex").read_text() and "b &amp; &lt;c&gt;" in page
    assert (folder / "report" / "runs.csv").read_text().splitlines()[
        0
    ] == "run,nodes,lr,net,repeat,state,accuracy,loss,time"
    assert (folder / "report" / "table.csv").read_text().startswith("lr,net,repeats,asked,accuracy,accuracy_sd")
    alone = made(tmp_path / "alone", [(1, {}, {"accuracy": 0.5}), (1, {}, {"accuracy": 0.6})])  # repeats, and no axis
    report.run([str(alone)])
    assert not (alone / "report" / "figures").exists()
    with pytest.raises(Refusal, match="--by is for the points"):
        report.run([str(studies.make(tmp_path / "scaling", repeats=1)), "--by", "error"])


@pytest.mark.parametrize(
    ("values", "places"),
    [
        (["1", "2", "4"], [0, 1 / 3, 1]),
        (["1e-4", "1e-3", "1e-2"], [0, 0.5, 1]),  # over powers of ten
        (["-1", "0", "1"], [0, 0.5, 1]),
        (["b", "a", "10"], [1, 0.5, 0]),  # numbers before words
        (["3", "3", "3.0"], [0.5, 0.5, 0.5]),
    ],
)
def test_places_on_an_axis(values: list[str], places: list[float]):
    parallel_coordinates = pytest.importorskip("profiling.reporting.parallel_coordinates")
    axis = parallel_coordinates._parameter("x", [{"nodes": 1, "values": {"x": value}} for value in values])
    assert axis.places == pytest.approx(places) and {label for _, label in axis.labels} <= set(values)


def test_figures_called_as_an_axis_and_figures_of_some_runs_only(tmp_path: Path):
    runs = [(1, {"lr": "1e-1"}, {"lr": 0.05, "accuracy": 0.5}), (1, {"lr": "1e-1"}, {"lr": 0.07})]
    folder = made(tmp_path / "s", runs)
    [row] = csv.DictReader(io.StringIO(table.run([str(folder), "--format", "csv"])))
    assert (row["lr"], row["metric_lr"], row["accuracy"]) == ("1e-1", "0.060000000000000005", "0.5")
    [row] = csv.DictReader(io.StringIO(table.run([str(folder), "--by", "lr", "--format", "csv"])))
    assert (row["lr"], row["metric_lr_best"]) == ("1e-1", "0.07")
    assert "0.5 (1 run)" in table.run([str(folder)])


def test_refusals(tmp_path: Path):
    folder = made(tmp_path / "s", [(1, {"x": "1"}, {"accuracy": 0.5})])
    for words, match in (
        (["--by", "acuracy"], "did you mean 'accuracy'"),
        (["--by", "f"], "known: accuracy, time"),
        (["--smallest"], "--by"),
        (["--by", "accuracy", "--smallest", "--largest"], "contradict"),
        (["--out", str(tmp_path / "no" / "t")], "--out"),
    ):
        with pytest.raises(Refusal, match=match):
            table.run([str(folder), *words])
    with pytest.raises(Refusal, match="not the folder of a study"):
        table.run([str(folder / "n1-0")])
    waiting = made(tmp_path / "w", [(1, {"x": "1"}, None)])  # nobody knows its figures yet
    assert "0 of 1" in table.run([str(waiting), "--by", "accuracy"])
    (folder / "n1-0" / "result.json").write_text("{")
    assert "left out: n1-0: " in table.run([str(folder)])
