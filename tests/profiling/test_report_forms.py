"""The report of a study in all its forms: the same numbers, nothing of the machine, LaTeX that compiles."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.record.rundir import RunDir
from profiling import text
from profiling.__main__ import main
from profiling.cli import inputs
from profiling.cli import report as reporting
from profiling.reporting import blocks, latex
from profiling.study import confidence, quality, tables

FIGURES = ("throughput", "efficiency", "steps", "breakdown", "prediction")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = studies.make(tmp_path_factory.mktemp("forms") / "my_study")
    RunDir(folder / "n4-r6").result_json.unlink()
    for rank, waits in ((0, 0.1), (1, 0.5)):
        studies.trace(RunDir(folder / "n2-r1"), rank, {"compute": 0.9 - waits, "communication": waits, "input": 0.1})
    studies.trace(RunDir(folder / "n2-r2"), 0, {"compute": 1.0}, seconds=2.0)
    studies.trace(RunDir(folder / "n4-r1"), 0, {"idle": 1.0})
    RunDir(folder / "n4-r2").traces.mkdir()
    RunDir(folder / "n4-r2").timeline(1).write_text("[")
    return folder


@pytest.fixture(scope="module")
def report(study):
    printed = reporting.run([str(study)])
    assert printed.endswith(f"report: {study}/report/index.html")
    return study / "report"


def said(capsys, *words):
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


def test_all_forms_are_there_and_json_is_what_is_printed(capsys, study, report):
    figures = {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "pdf", "png")}
    assert {path.name for path in (report / "figures").iterdir()} == figures
    status, out, _ = said(capsys, "report", study, "--json")
    printed, written = json.loads(out), json.loads((report / "report.json").read_text())
    assert status == 0 and printed | {"made": 0} == written | {"made": 0}


def test_the_columns_say_what_the_runs_did(report):
    document = json.loads((report / "report.json").read_text())
    first, last = document["rows"][0], document["rows"][2]
    assert [row["workers"] for row in document["rows"]] == [1, 2, 4]
    assert (last["nodes"], last["gpus"], last["batch_per_rank"], last["global_batch"]) == (4, 0, 8, 32)
    lengths = [0.05 * 4**0.1 * (1 + 0.002 * repeat) for repeat in range(1, 6)]
    assert last["repeats"] == 5 and last["step_seconds"] == pytest.approx(sorted(lengths)[2])
    assert last["degrees"] == 14 and last["pooled"]  # 5 of it, and of 6 and 6 of the others
    assert last["step_seconds_interval"]["low"] < last["step_seconds"] < last["step_seconds_interval"]["high"]
    assert last["efficiency_interval"]["low"] < last["efficiency"] < last["efficiency_interval"]["high"]
    assert first["step_seconds_interval"]["low"] == pytest.approx(0.05 * 1.002)
    assert first["step_seconds_interval"]["high"] == pytest.approx(0.05 * 1.012)
    assert last["throughput"] == pytest.approx(32 / (sum(lengths) / 5))
    assert last["input_share"] == pytest.approx(studies.WAIT)
    assert last["communication_share"] == pytest.approx(0.2)
    assert [left["run"] for left in document["left_out"]] == ["n4-r6"]
    assert last["recording_share"] == pytest.approx(0.1 / 19.1)
    assert {"pop_transfer_efficiency", "seconds_to_target"} <= set(document["absent"])
    assert all(row[key] is None for row in document["rows"] for key in document["absent"])


def test_traced_steps_stand_apart_in_a_table_and_in_a_figure(report):
    document = json.loads((report / "report.json").read_text())
    two, four = document["traced"]
    assert (two["workers"], two["runs"], two["steps"], four["steps"]) == (2, 2, 6, 2)
    assert two["step_seconds"] == pytest.approx((4 * 1 + 2 * 2) / 6)
    assert two["shares"] == pytest.approx(  # of 8 s that were traced; ratios of sums
        {"compute": (2 * 0.8 + 2 * 0.4 + 4) / 8, "communication": 1.2 / 8, "input": 0.4 / 8, "host": 0, "compile": 0, "idle": 0, "hidden": 0}
    )  # fmt: skip
    assert (
        "| 2 | 2 | 6 | 1333.3 | 80.0% | 15.0% | 5.0% | 0.0% | 0.0% | 0.0% | 0.0% |"
        in (report / "report.md").read_text()
    )
    assert "per traced step [ms]" in (report / "figures" / "breakdown.svg").read_text()
    assert any("traces of n4-r2: traces/horovod1.json" in note for note in document["notes"])


def test_traces_of_another_tensorflow_are_left_out_by_name(tmp_path):
    folder = studies.make(tmp_path / "study", nodes=(1, 2), repeats=3)
    for name in ("n2-r1", "n2-r3"):
        studies.trace(RunDir(folder / name), 0, {"compute": 1.0})
    studies.change_json(folder / "n2-r3" / "result.json", versions=studies.VERSIONS | {"tensorflow": "2.21.0"})
    # One rank has nobody to talk to, and does not import Horovod.
    studies.change_json(folder / "n2-r1" / "result.json", versions=studies.VERSIONS | {"horovod": "0.28.1"})
    document = json.loads(reporting.run([str(folder), "--json"]))
    assert [(point["workers"], point["runs"]) for point in document["traced"]] == [(2, 1)]
    assert "traces of n2-r3: left out: made with tensorflow 2.21.0, unlike the runs in the table" in document["notes"]


def test_the_timeline_of_a_run_without_timed_steps_is_in_the_report(tmp_path):
    folder = studies.make(tmp_path / "study", nodes=(1, 2), repeats=2)
    run = RunDir(folder / "n2-r2")
    for path in run.steps.iterdir():
        studies.change(path, lambda line: line | {"traced": True})
    real = json.loads((Path(__file__).parent / "horovod_timeline.json").read_text())
    began = next(e["args"]["start_time_since_epoch_in_micros"] for e in real if "start_time" in str(e)) / 1e6
    studies.change(run.steps / "node0.jsonl", lambda line: line | {"start": began - 1 + 0.05 * line["step"]})
    run.traces.mkdir()
    run.timeline(1).write_text(json.dumps(real))
    document = json.loads(reporting.run([str(folder), "--json"]))
    (two,) = document["traced"]
    assert two["shares"] is None and two["timeline"]["steps"] > 0 and two["timeline"]["seconds"]["negotiate"] > 0
    assert "Horovod's collectives in traced steps" in [block.title for block in blocks.blocks(document)]
    assert [left["run"] for left in document["left_out"]] == ["n2-r2"]  # of it nothing is timed


def test_time_to_quality_is_from_the_start_to_the_evaluation_that_met_the_target(tmp_path):
    folder = studies.make(tmp_path / "study", nodes=(1, 2), repeats=2)
    for path in folder.glob("n*/training.json"):
        studies.change_json(path, target=["error", "<=", 0.3])
    studies.change(folder / "n1-r2" / "events.jsonl", lambda event: event | {"time": event["time"] + 4 * (event["event"] == "evaluated")})  # fmt: skip
    studies.change(
        folder / "n2-r1" / "events.jsonl",
        lambda event: event | {"metrics": {"error": 0.31}} if event["event"] == "evaluated" else event,
    )
    document = json.loads(reporting.run([str(folder), "--json"]))
    one, two = document["rows"]
    assert document["target"] == "error <= 0.3"
    assert (one["seconds_to_target"], one["target_reached"]) == (pytest.approx((30 + 34) / 2), 2)
    assert (two["seconds_to_target"], two["target_reached"]) == (None, 1)
    (cost,) = (block for block in blocks.blocks(document) if "quality" in block.title)
    assert any("Reached by 2 of 2 on 1, 1 of 2 on 2 ranks." in note for note in cost.notes)


@pytest.mark.parametrize(
    ("events", "seconds"),
    [
        ("s0 e10 s100 v106=0.2", 16), ("s0 e10", None), ("s0 v5=0.5 e9", None), ("s0 v7=0.3", 7),
        ("s0 s100 v106=0.2", None), ("s0 v2=0.4 e10 s100 v101=0.3 v102=0.1", 11),
    ],
)  # fmt: skip
def test_time_to_quality_leaves_out_what_lies_between_attempts(events, seconds):
    known = {"s": "started", "e": "ended", "v": "evaluated"}
    found = []
    for word in events.split():
        time, _, value = word[1:].partition("=")
        found.append({"event": known[word[0]], "time": float(time), "metrics": {"loss": 1.0} | ({"error": float(value)} if value else {})})  # fmt: skip
    run = SimpleNamespace(training={"target": ["error", "<=", 0.3]}, events=found)
    assert quality.seconds_to_target(run) == seconds


def test_pop_efficiencies_follow_their_definitions(capsys, tmp_path):
    folder = studies.make(tmp_path / "study", nodes=(1, 2), repeats=1)
    path = folder / "n2-r1" / "steps" / "node1.jsonl"  # rank 1 computes half as long as rank 0
    studies.change(path, lambda line: line | {"own_seconds": line["input_seconds"] + 0.35 * line["seconds"]})
    one, two = json.loads(said(capsys, "report", folder, "--json")[1])["rows"]
    assert one["pop_parallel_efficiency"] == one["pop_global_efficiency"] == pytest.approx(0.7)
    assert two["pop_load_balance"] == pytest.approx(0.525 / 0.7)
    assert two["pop_communication_efficiency"] == pytest.approx(0.7)
    assert two["pop_parallel_efficiency"] == pytest.approx(0.525)
    assert two["pop_computation_efficiency"] == pytest.approx(0.7 / (0.525 * 2**0.1))
    assert two["pop_global_efficiency"] / one["pop_global_efficiency"] == pytest.approx(two["efficiency"])
    assert two["communication_share"] == pytest.approx(1 - (0.8 + 0.45) / 2)


@pytest.mark.parametrize(("ranks", "form"), [(2, "lines"), (12, "heat")])
def test_readings_of_gpus_fill_their_columns_and_a_figure(tmp_path, ranks, form):
    folder = studies.make(tmp_path / "study", nodes=(1, ranks), repeats=1, seconds=lambda n, repeat: 1.0)
    for count in (1, ranks):
        run = folder / f"n{count}-r1"
        studies.read_gpus(run, count, 1.7e9 + 100, 60)
        studies.change_json(run / "result.json", flops_per_example=1e9, peak_flop_per_s=count * 1e11)
    assert "report: " in reporting.run([str(folder)])
    document = json.loads((folder / "report" / "report.json").read_text())
    last = document["rows"][1]
    assert last["gpu_utilisation"] == pytest.approx(0.50 + 0.01 * (ranks - 1) / 2)
    assert last["sm_activity"] == pytest.approx(0.01 * (ranks + 1) / 2) and "tensor_activity" in document["absent"]
    assert last["power_w"] == pytest.approx(200 * ranks)
    assert last["energy_per_example_j"] == pytest.approx(200 / 8)
    assert (last["peak_memory_bytes"], last["peak_rss_bytes"]) == (10 * 2**30, 2**30)
    assert last["mfu"] == pytest.approx(8e9 / 1e11)
    assert not {"gpu_utilisation", "power_w", "mfu"} & set(document["absent"])
    assert len(document["gpus"]["utilisation"]) == ranks and set(document["gpus"]["power_w"][1]) == {200.0}
    svg = (folder / "report" / "figures" / "gpus.svg").read_text()
    assert ("<image" in svg) == (form == "heat") and "time since the first timed step" in svg


def test_power_and_energy_are_ratios_of_sums(tmp_path):
    folder = studies.make(tmp_path / "study", nodes=(1, 2), repeats=2, seconds=lambda _, repeat: 1.0 * repeat)
    for repeat in (1, 2):  # 400 W for a second per step, and 200 W for two, of 8 examples each
        run = folder / f"n1-r{repeat}"
        studies.read_gpus(run, 1, 1.7e9 + 100 * repeat, 80)
        if repeat == 1:
            studies.change(
                run / "readings" / "node0-attempt1.jsonl",
                lambda line: line | {name: 2 * line[name] for name in ("energy_mj", "power_usage_mw")},
            )
    row = json.loads(reporting.run([str(folder), "--json"]))["rows"][0]
    assert row["power_w"] == pytest.approx((400 * 1 + 200 * 2) / 3)
    assert row["energy_per_example_j"] == pytest.approx((400 * 1 + 200 * 2) / 16)


def test_nothing_of_the_machine_is_told(report):
    for path in report.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert path.suffix != ".html" or b"NCCL_DEBUG=WARN NCCL_TOPO_FILE=.../topo.xml" in content
            assert b"secret" not in content and str(report.parents[1]).encode() not in content, path


def test_the_page_needs_nothing_else(report):
    page = (report / "index.html").read_text()
    linked = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("#", "data:")) for link in linked) and "@import" not in page
    assert set(re.findall(r"https?://[^\s\"'<)]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert len(page) < 500_000
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) | {link[1:] for link in linked if link[:1] == "#"} <= set(ids)
    inside = re.search(r'<script id="document"[^>]*>(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(inside) == json.loads((report / "report.json").read_text())


def test_without_matplotlib_all_but_the_figures_is_written(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib" or name in ("profiling.reporting.plots", "profiling.reporting.figures")]:  # fmt: skip
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delattr("profiling.reporting.figures", raising=False)
    folder = studies.make(tmp_path / "study", repeats=1)
    assert reporting.run([str(folder)]).endswith("(without figures: matplotlib is not installed)")
    assert "<figure>" not in (folder / "report" / "index.html").read_text()


def test_the_tables_as_csv(report):
    rows = list(csv.DictReader(io.StringIO((report / "table.csv").read_text())))
    assert [row["workers"] for row in rows] == ["1", "2", "4"]
    assert float(rows[1]["throughput_low"]) < float(rows[1]["throughput"]) < float(rows[1]["throughput_high"])
    assert float(rows[2]["throughput_low"]) < float(rows[2]["throughput"]) and rows[0]["mfu"] == ""
    again = tables.read(report / "runs.csv")
    assert again.points == inputs.series(report.parent, None)[0].points and again.kind == "weak"


def test_markdown_has_every_table_and_figure(report):
    text = (report / "report.md").read_text()
    assert "| 2 | 2 | 8 | 16 | 6 |" in text and "Left out, as there are no readings: GPU use" in text
    assert all(f"](figures/{name}.svg)" in text for name in FIGURES)
    assert "4 nodes: 5 of 6 repeats are in the table" in text


def test_a_table_of_the_ranks_alone_is_left_out_and_its_lines_are_kept(tmp_path):
    folder = studies.make(tmp_path / "bare", nodes=(1, 2), repeats=2)
    for path in folder.glob("n*/steps/*.jsonl"):
        studies.change(path, lambda step: {k: v for k, v in step.items() if k not in {"input_seconds", "own_seconds"}})
    for path in folder.glob("n*/result.json"):
        studies.change_json(path, phases_s={})
        studies.change_json(path.with_name("env.json"), gpus=["H100"], driver=None)
    reporting.run([str(folder)])
    marked, page, tex = ((folder / "report" / name).read_text() for name in ("report.md", "index.html", "table.tex"))
    for title in ("Where the time goes", "Use, energy, memory and quality"):
        assert re.search(rf"## {title}\n\nLeft out, as ", marked)
        assert re.search(rf"<h2>{title}</h2>\s*<ul class=.notes.><li>Left out, as ", page)
        assert f"% {title}: Left out, as " in tex and rf"\caption{{{title}" not in tex
    assert "| GPUs | H100 |" in marked


def test_committees_get_their_columns(capsys, tmp_path, report):
    text = (report / "report.md").read_text()
    assert "| Number of cores | Wall clock time | Number of Nodes | Number of process |" in text
    strong = studies.make(tmp_path / "strong", repeats=1, batch=lambda ranks: 32, seconds=lambda n, repeat: 0.4 / n)
    _, out, _ = said(capsys, "report", strong, "--json")
    form, style = json.loads(out)["committees"]
    header = ["Number of cores", "Wall clock time", "Speed-up vs the first one", "Number of Nodes", "Number of process"]
    assert form["header"] == header and form["rows"][2] == ["2", "0.1 s", "4", "4", "4"]
    node_hours = 4 * 1e6 / (32 / 0.1) / 3600
    assert style["rows"][2] == ["4", "4", "0", "0.1", "4", "4", "100.0%", f"{node_hours:.5g}"]
    assert not (strong / "report").exists()  # JSON is printed, and nothing is written


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LATEX TEST SKIPPED: there is no pdflatex here")
def test_latex_compiles(report, tmp_path):
    odd = latex.escape("a_b & 50 % #1 {x} ~ ^ \\ $ µ é ✓ ¹²")
    paper = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{odd}\input{{table}}\end{{document}}"
    (tmp_path / "paper.tex").write_text(paper)
    shutil.copy(report / "table.tex", tmp_path)
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0 and "Output written on paper.pdf" in done.stdout, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    table = (report / "table.tex").read_text()
    assert table.count(r"\toprule") == table.count(r"\begin{table}") == 8


def test_a_prediction_is_written_down_and_scored_by_the_next_report(capsys, tmp_path):
    folder = studies.make(tmp_path / "study", nodes=(1, 2, 4, 8), repeats=1)
    result = RunDir(folder / "n8-r1").result_json
    later = result.rename(tmp_path / "later.json")
    _, out, _ = said(capsys, "predict", folder, "--workers", "4,8,16")
    assert "written down, to be scored by the next report" in out
    _, out, _ = said(capsys, "predict", folder, "--workers", "4,8,16")
    assert "written down before" in out
    _, out, _ = said(capsys, "predict", folder / ".", "--workers", "16,8", "--price", "2EUR/node-hour")
    assert "written down before" in out
    assert len((folder / "predictions.jsonl").read_text().splitlines()) == 1
    _, out, _ = said(capsys, "predict", folder, "--workers", "8,32")  # 32 is new, 8 is listed once
    assert "written down, to be scored by the next report" in out
    later.rename(result)
    document = json.loads(said(capsys, "report", folder, "--json")[1])
    eight, sixteen, more = document["earlier_predictions"]  # 4 was known
    assert more["workers"] == 32
    assert eight["workers"] == 8 and eight["knew"] == [1, 2, 4] and eight["inside"] is True
    measured = inputs.series(folder, None)[0].points[-1].throughput
    assert eight["measured"] == measured and eight["relative_error"] == pytest.approx(eight["predicted"] / measured - 1)
    status, out, _ = said(capsys, "score", folder, folder, "--json")
    (score,) = json.loads(out)["scores"]
    assert status == 0 and score == eight
    (past,) = (block for block in blocks.blocks(document) if block.title == "Earlier predictions and measurements")
    assert sixteen["measured"] is None and past.rows[1][5] == "not yet" and past.rows[0][7] == "yes"


def test_a_report_of_one_of_several_series_has_a_folder_of_its_own(capsys, tmp_path):
    folder = studies.make(tmp_path / "study", repeats=1, axis=("width", ["8", "[8"]))
    status, out, _ = said(capsys, "report", folder)  # of all of them it is the table of the points
    assert status == 0 and "6 points" in out and "# Sweep study" in (folder / "report" / "report.md").read_text()
    status, out, err = said(capsys, "report", folder, "--series", "width=8")
    assert (status, out) == (2, "") and "has no series" in err
    words = ["report", folder, "--series", "workloads.some_net width=[8"]
    assert f"report: {folder}/report/workloads.some_net_width_8-2/index.html" in said(capsys, *words)[1]
    assert (folder / "report" / "workloads.some_net_width_8-2" / "index.html").is_file()


@pytest.mark.parametrize(
    ("words", "said_"),
    [
        (["report", "{study}", "--out", "/proc/nowhere"], "cannot write the report /proc/nowhere"),
        (["export", "{study}", "--to", "xlsx"], "'xlsx' is not one of"),
        (["export", "{study}"], "needs --to"),
        (["export", "{study}", "--to", "parquet"], "give a file with --out"),
        (["export", "{study}/n1-r1", "--to", "csv"], "is not the folder of a study"),
        (["mllog", "{study}"], "is not a run"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(capsys, study, words, said_):
    status, out, err = said(capsys, *(word.format(study=study) for word in words))
    assert (status, out) == (2, "") and said_ in err and err.count("\n") == 1


def test_export_gives_each_run_and_names_what_it_leaves_out(capsys, study):
    _, out, err = said(capsys, "export", study, "--to", "json")
    rows = json.loads(out)
    assert len(rows) == 17 and err.startswith("left out: n4-r6: ")
    assert rows[0] | {"run": "n1-r1", "workers": 1, "steps_timed": 17} == rows[0]
    assert rows[0]["phase_train_s"] == pytest.approx(18 * 0.05 * 1.002)
    _, out, _ = said(capsys, "export", study, "--to", "csv")
    assert [row["run"] for row in csv.DictReader(io.StringIO(out))] == [row["run"] for row in rows]


def test_why_there_are_no_readings_is_what_it_is(tmp_path):
    folder = studies.make(tmp_path / "study", nodes=(1, 2), repeats=1)
    code = "import sys; {}; from profiling.__main__ import main; sys.exit(main(sys.argv[1:]))"

    def absent(first: str = "pass") -> dict[str, str]:
        words = [sys.executable, "-c", code.format(first), "report", str(folder), "--json"]
        done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True)
        return json.loads(done.stdout)["absent"]

    assert absent()["peak_rss_bytes"] == "there are no readings"
    for run in folder.glob("n*-r1"):
        studies.change_json(run / "run.json", sample_hz=0.0)
    assert absent()["peak_rss_bytes"] == "there are no readings (--sample-hz 0)"
    studies.read_gpus(folder / "n1-r1", 1, 1.7e9 + 100, 20)
    assert "peak_rss_bytes" not in absent()
    for key in ("peak_rss_bytes", "power_w", "sm_activity"):
        assert "duckdb" in absent("sys.modules['duckdb'] = None")[key]


def test_export_to_files(capsys, study, tmp_path):
    rows = json.loads(said(capsys, "export", study, "--to", "json")[1])
    file = tmp_path / "it's.parquet"
    assert said(capsys, "export", study, "--to", "parquet", "--out", file)[1] == f"17 runs: {file}\n"
    found = duckdb.read_parquet(str(file))
    assert [dict(zip(found.columns, row)) for row in found.fetchall()] == rows
    assert "cannot write /proc/no/x" in said(capsys, "export", study, "--to", "csv", "--out", "/proc/no/x")[2]
    said(capsys, "export", study, "--to", "csv", "--out", tmp_path / "runs.csv")
    assert tables.read(tmp_path / "runs.csv").points == inputs.series(study, None)[0].points


def test_mllog_lines_are_those_of_an_mlperf_log(capsys, study):
    _, out, _ = said(capsys, "mllog", study / "n2-r1", "--benchmark", "deepcam", "--division", "open")
    lines = out.splitlines()
    assert all(line.startswith(":::MLLOG {") for line in lines)
    events = [json.loads(line.removeprefix(":::MLLOG ")) for line in lines]
    keys = ["namespace", "time_ms", "event_type", "key", "value", "metadata"]
    assert all(list(event) == keys and isinstance(event["time_ms"], int) for event in events)
    assert [event["time_ms"] for event in events] == sorted(event["time_ms"] for event in events)
    named = {event["key"]: event for event in events}
    assert named["submission_benchmark"]["value"] == "deepcam" and named["global_batch_size"]["value"] == 16
    assert "submission_org" not in named  # nobody has told it
    assert "gradient_accumulation_steps" not in named  # nor did runs of older versions
    studies.change_json(study / "n2-r1" / "training.json", accumulate=4)
    assert '"gradient_accumulation_steps", "value": 4' in said(capsys, "mllog", study / "n2-r1")[1]
    order = [event["key"] for event in events if event["event_type"] != "POINT_IN_TIME"]
    assert order == ["init_start", "init_stop", "run_start", *["epoch_start", "epoch_stop"] * 2, "eval_start", "eval_stop", "run_stop"]  # fmt: skip
    assert named["eval_error"]["value"] == 0.3 and named["run_stop"]["metadata"]["status"] == "success"
    assert named["run_start"]["time_ms"] - named["init_start"]["time_ms"] == 2500
    RunDir(study / "n1-r1").append_event("started", attempt=2)
    status, _, err = said(capsys, "mllog", study / "n1-r1")
    assert status == 2 and "took 2 attempts" in err


# The table of Le Boudec (2010), appendix A: between which order statistics a 95 % interval of the median lies.
@pytest.mark.parametrize(
    ("count", "low", "high"), [(6, 1, 6), (8, 1, 8), (9, 2, 8), (12, 3, 10), (20, 6, 15), (30, 10, 21)]
)
def test_the_interval_of_a_median_lies_between_order_statistics(count, low, high):
    found = confidence.median(tuple(range(count, 0, -1)))
    assert (found.low, found.high) == (low, high)
    assert confidence.median((1.0,) * 5) is None


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-3, 1e11), st.integers(2, 6))
def test_a_number_has_no_exponent_where_it_can_be_read_without(value, digits):
    shown = text.number(value, digits)
    assert "e" not in shown and float(shown) == pytest.approx(value, rel=0.5 * 10 ** (1 - digits))
    assert text.number(99999.6) == "100000" and text.number(1e-9) == "1e-09"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_safe_in_latex(words):
    escaped = latex.escape(words)
    assert not re.search(r"(?<!\\)[&%$#_]", escaped)
