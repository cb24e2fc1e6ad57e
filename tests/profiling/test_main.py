"""python -m profiling: its verbs as a user runs them."""

import json
import subprocess
import sys

import pytest

from profiling.__main__ import main

TABLE = "workers,throughput,kind\n1,100,weak\n2,195,weak\n4,382,weak\n8,750,weak\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "my table.csv"
    path.write_text(TABLE)
    return path


def run(capsys, *words):
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


def test_predict_prints_a_labelled_table(capsys, table):
    status, out, err = run(capsys, "predict", table, "--workers", "64,16")
    assert status == 0 and not err
    assert "PREDICTION, not measured" in out
    assert "base: 1 worker, 100 examples/s" in out
    assert "64 workers: extrapolates x8 beyond the last measured point (8 workers)" in out


def types(value):
    """The shape of a JSON value: names and types, without the values; floats stand for ints too."""
    if isinstance(value, dict):
        return {key: types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [types(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_the_json_of_predict_has_its_documented_shape(capsys, table):
    _, out, _ = run(capsys, "predict", table, "--workers", "64", "--json", "--confidence", "0.8")
    document = json.loads(out)
    laws, fits = document.pop("laws"), document.pop("fits")
    assert sum(laws.values()) == pytest.approx(1)
    assert {fit["name"]: fit["weight"] for fit in fits} == laws
    # Each law has been asked for each of the four points, which lie on a smooth curve.
    assert all(0 < fit["left_out_error"] < 0.05 for fit in fits)
    assert fits[0]["parameters"] == document["law"]["parameters"]
    assert types(document) == {
        "format": "number",
        "label": "str",
        "made": "str",
        "table": "str",
        "series": "str",
        "kind": "str",
        "unit": "str",
        "works": "str",
        "base": {"workers": "number", "throughput": "number"},
        "measured": [{"workers": "number", "repeats": "number", "throughput": "number"}],
        "confidence": "number",
        "holds": "bool",
        "problems": [],
        "left_out": {"points": "number", "error": "number"},
        "notes": [],
        "law": {
            "name": "str",
            "parameters": [{"name": "str", "unit": "str", "estimate": "number", "low": "number", "high": "number"}],
        },
        "predictions": [
            {
                "workers": "number",
                "throughput": "number",
                "low": "number",
                "high": "number",
                "speedup": "number",
                "efficiency": "number",
                "efficiency_low": "number",
                "efficiency_high": "number",
                "beyond": "number",
                "warnings": ["str"],
            }
        ],
    }
    forecast = document["predictions"][0]
    assert forecast["efficiency"] == pytest.approx(forecast["throughput"] / 64 / 100)
    assert document["label"] == "prediction, not measured" and document["confidence"] == 0.8


def test_predict_says_of_each_law_what_it_is_worth(capsys, table):
    _, out, _ = run(capsys, "predict", table, "--workers", "64")
    lines = out.splitlines()
    at = next(index for index, line in enumerate(lines) if "left-out error" in line)
    assert "hierarchical" in lines[at + 1] and "ring " in lines[at + 1] and "cost of one worker" in lines[at + 1]
    assert any(line.split()[:1] == ["averaged"] for line in lines)
    assert "Left-out error: median over the 4 largest points" in out
    table.write_text("workers,throughput,kind\n1,100,weak\n2,195,weak\n")
    assert "Too few points to leave one out." in run(capsys, "predict", table, "--workers", "4")[1]


def test_report_in_its_three_forms(capsys, table):
    _, text, _ = run(capsys, "report", table)
    assert "95 % CI" not in text and "base: 1 worker, 100 examples/s in absolute terms" in text
    _, markdown, _ = run(capsys, "report", table, "--format", "markdown")
    assert "| 8 | 1 | 750 | 7.5 | 93.8% |" in markdown
    _, out, _ = run(capsys, "report", table, "--json")
    document = json.loads(out)
    assert document["rows"][3]["efficiency"] == pytest.approx(750 / 8 / 100)
    assert document["rows"][3]["efficiency_interval"] is None and document["holds"] is True


def test_a_prediction_is_written_down_and_scored_later(capsys, table, tmp_path):
    saved = tmp_path / "prediction.json"
    assert run(capsys, "predict", table, "--workers", "8,16,32", "--save", saved)[0] == 0
    status, _, err = run(capsys, "predict", table, "--workers", "16", "--save", saved)
    assert status == 2 and "a prediction that was written down is not changed" in err
    status, _, err = run(capsys, "score", saved, table)
    assert status == 2 and "score it later" in err  # 8 workers were known when the prediction was made
    table.write_text(TABLE + "16,1470,weak\n32,1500,weak\n")
    status, out, _ = run(capsys, "score", saved, table)
    assert status == 0
    assert "fit does not hold: 32 workers lie outside the interval" in out and "16 workers lie" not in out
    scores = json.loads(run(capsys, "score", saved, table, "--json")[1])["scores"]
    assert [(score["workers"], score["inside"]) for score in scores] == [(16, True), (32, False)]
    saved.write_text(json.dumps(json.loads(saved.read_text()), indent=1))  # as older versions wrote it
    assert json.loads(run(capsys, "score", saved, table, "--json")[1])["scores"] == scores
    assert scores[1]["relative_error"] == pytest.approx(scores[1]["predicted"] / 1500 - 1)
    table.write_text(TABLE.replace("weak", "strong"))
    assert "kind" in run(capsys, "score", saved, table)[2]


def test_a_table_of_throughput_that_does_not_say_its_kind_has_that_of_the_prediction(capsys, tmp_path):
    table, saved = tmp_path / "t.csv", tmp_path / "prediction.json"
    table.write_text("workers,throughput\n1,100\n2,190\n4,350\n8,600\n")
    assert run(capsys, "predict", table, "--kind", "weak", "--workers", "16", "--save", saved)[0] == 0
    table.write_text(f"{table.read_text()}16,1100\n")
    status, out, err = run(capsys, "score", saved, table)
    assert status == 0 and " 1100 " in out, err


def test_a_prediction_for_nodes_is_not_scored_by_numbers_of_gpus(capsys, tmp_path):
    saved, nodes, gpus = tmp_path / "prediction.json", tmp_path / "nodes.csv", tmp_path / "gpus.csv"
    rows = "\n1,100\n2,52\n4,28\n8,17\n"
    nodes.write_text(f"nodes,time{rows}")
    assert run(capsys, "predict", nodes, "--workers", "16,32", "--save", saved)[0] == 0
    gpus.write_text(f"GPUs,time{rows}16,12\n")
    status, _, err = run(capsys, "score", saved, gpus)
    assert status == 2 and "for numbers of nodes" in err and "numbers of GPUs" in err
    gpus.write_text(f"workers,time{rows}16,12\n")
    assert run(capsys, "score", saved, gpus)[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["foresee"], "unknown verb 'foresee'"),
        (["predict", "{table}", "--nodes", "4"], "is a plain table, which does not say how many workers a node has"),
        (
            ["predict", "{table}", "--nodes", "4", "--workers", "4"],
            "predict needs --workers 64,256, or of a study --nodes",
        ),
        (["predict", "{table}"], "predict needs --workers"),
        (["predict", "{table}", "--workers", "0"], "'0' is not a whole number of 1 or more"),
        (["predict", "{table}", "--workers", "-4"], "'-4' is not a whole number of 1 or more"),
        (["predict", "{table}", "--workers", "4,many"], "'many' is not a whole number"),
        (["predict", "{table}", "--workers", "1.5"], "'1.5' is not a whole number"),
        (["predict", "{table}", "--workers", ""], "'' is not a whole number"),
        (["predict", "{table}", "--workers", "16", "--confidence", "1"], "--confidence is 1"),
        (["predict", "{table}", "--workers", "16", "--confidence", "high"], "'high' is not a number"),
        (["predict", "{table}", "--worker", "16"], "did you mean '--workers'?"),
        (["predict", "--workers", "16"], "predict needs a STUDY or a TABLE"),
        (["predict", "{table}", "{table}", "--workers", "16"], "predict needs a STUDY or a TABLE"),
        (["predict", "{table}", "--workers", "16", "--save", "/nowhere/x.json"], "cannot write /nowhere/x.json"),
        (["predict", "{table}", "--workers", "16", "--series", "no"], "has no series 'no'"),
        (["report", "/nowhere.csv"], "cannot read /nowhere.csv"),
        (["report", "{table}", "--format", "pdf"], "'pdf' is not one of"),
        (["score", "{table}", "{table}"], "is not a prediction"),
        (["score", "/nowhere.json", "{table}"], "cannot read /nowhere.json"),
    ],
)
def test_what_is_refused_is_refused_in_one_line_with_status_2(capsys, table, words, said):
    status, out, err = run(capsys, *(word.format(table=table) for word in words))
    assert status == 2 and not out
    assert said in err and err.count("\n") == 1


def test_help_names_verbs_and_options(capsys):
    assert "  score PREDICTIONS TABLE " in run(capsys, "--help")[1]
    assert "--confidence NUMBER" in run(capsys, "predict", "--help")[1]


def test_as_a_command_it_neither_imports_a_framework_nor_shows_a_traceback(table):
    probe = (
        "import os, sys, runpy; os._exit = sys.exit; sys.argv = ['profiling', 'predict', sys.argv[1], '--workers', '16']\n"
        "try: runpy.run_module('profiling', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'tensorflow', 'keras', 'scipy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", probe, table], check=True, capture_output=True, timeout=60)
    table.write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "profiling", "report", table], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "is empty" in done.stderr and "Traceback" not in done.stderr


def test_of_a_table_of_nodes_nodes_are_predicted_and_each_warning_is_said_once(capsys, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Nodes,images/s,scaling\n1,100,weak\n2,190,weak\n4,360,weak\n")
    status, out, err = run(capsys, "predict", path, "--nodes", "8,16")
    assert status == 0, err
    assert [line for line in out.splitlines() if "cannot tell the laws apart" in line][0].startswith(
        "8, 16 nodes: 3 points"
    )
