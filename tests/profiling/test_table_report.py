"""report TABLE --out: the whole report of a plain table, of one series, of several, of a family of curves."""

import json
import re

import pytest

from profiling.__main__ import main
from tests.profiling import studies

pytest.importorskip("matplotlib")

FAMILY = "NX,Nodes,Zcycles/sec\n" + "".join(
    f"{size},{nodes},{rate}\n"
    for size, rates in ((384, (4.88e8, 8.36e8, 1.2e9)), (448, (5.13e8, 9.17e8, 9.64e8)))
    for nodes, rate in zip((32, 64, 96), rates)
)


def report(tmp_path, text, *options, name="my table.csv"):
    (tmp_path / name).write_text(text)
    assert main(["report", str(tmp_path / name), "--out", str(tmp_path / "out"), *options]) == 0
    return tmp_path / "out"


def test_a_family_of_curves_on_one_page(tmp_path, capsys):
    # Of no kind, so that no prediction takes its time.
    out = report(
        tmp_path, FAMILY.replace("NX", "solver").replace("384", "a").replace("448", "b"), "--remark", "to be repeated"
    )
    assert "report: " in capsys.readouterr().out.splitlines()[-1]
    document = json.loads((out / "report.json").read_text())
    assert [one["series"] for one in document["tables"]] == ["a", "b"]
    assert [row["efficiency"] for row in document["tables"][1]["rows"]] == pytest.approx([1, 0.8938, 0.6264], abs=1e-4)
    assert document["tables"][0]["works"] == "nodes" and document["about"]["remark"] == "to be repeated"
    page = (out / "index.html").read_text()
    assert page.count("<figure") == 3 and "Scaling, b" in page and "say --kind" in page
    for name in ("throughput", "speedup", "efficiency"):
        assert all((out / "figures" / f"{name}.{form}").stat().st_size > 1000 for form in ("svg", "pdf", "png"))
    tex = (out / "table.tex").read_text()
    assert tex.count(r"\begin{table}") == 6 and r"PRACE/EuroHPC" in tex
    nodes = [row[0] for form in document["tables"][0]["committees"][1:] for row in form["rows"]]
    assert nodes == ["32", "64", "96"]
    # What it writes is read again, and says the same.
    assert main(["report", str(out / "runs.csv"), "--series", "b", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert [row["throughput"] for row in again["rows"]] == pytest.approx([5.13e8, 9.17e8, 9.64e8])


@pytest.mark.slow
def test_problem_sizes_and_predictions(tmp_path):
    out = report(tmp_path, FAMILY)
    document = json.loads((out / "report.json").read_text())
    assert [(one["kind"], one["size"]) for one in document["tables"]] == [("strong", 384), ("strong", 448)]
    assert document["parameter"] == "NX" and (out / "figures" / "family.svg").is_file()
    ahead = document["tables"][0]["prediction"]
    assert ahead["asked"] == [192, 384] and re.search(
        "PREDICTION for 192 nodes", (out / "figures" / "prediction.svg").read_text()
    )


def test_the_forms_of_committees_have_what_the_table_says(tmp_path):
    out = report(tmp_path, "Nodes,GPUs,Time [h]\n1,4,2\n2,8,2.1\n", "--kind", "weak")
    (one,) = json.loads((out / "report.json").read_text())["tables"]
    prace, access = one["committees"]
    assert prace["header"] == ["Number of cores", "Wall clock time", "Number of Nodes", "Number of process"]
    assert prace["rows"][1] == ["N/A", "7560 s", "2", "N/A"]
    assert access["rows"][1][:4] == ["2", "N/A", "8", "7560"] and access["rows"][1][-1] == "4.2"


@pytest.mark.parametrize(
    "words", [["report"], ["report", "--scaling", "strong"], ["predict", "--nodes", "4", "--scaling", "weak"]]
)
def test_a_run_is_not_taken_for_a_table(tmp_path, capsys, words):
    run = studies.run(tmp_path / "run", 1, 8, 0.05)
    assert main([words[0], str(run.path), *words[1:]]) == 2
    assert f"{run.path} is a run, and a table is that of a study: " in capsys.readouterr().err


def test_options_of_studies_are_not_for_tables(tmp_path, capsys):
    (tmp_path / "t.csv").write_text(FAMILY)
    for option in (["--scaling", "weak"], ["--by", "loss"], ["--remark", "x"]):
        assert main(["report", str(tmp_path / "t.csv"), *option]) == 2
        assert f"{option[0]} is for the report of a study" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "t.csv"), "--series", "NX=9"]) == 2
    assert "has no series 'NX=9'" in capsys.readouterr().err
