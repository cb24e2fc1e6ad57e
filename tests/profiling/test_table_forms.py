"""The forms in which tables are kept: units in a line of their own, LaTeX, sacct, titles; and what is not read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from launch.errors import Refusal
from profiling.__main__ import main
from profiling.study import tables
from profiling.tables.columns import Asked

LATEX = "\\begin{{tabular}}{{rr}}\nNodes & {0} \\\\\n1 & {1} \\\\\n2 & {2} \\\\\n\\end{{tabular}}\n"
SACCT = """JobID           JobName     NNodes    Elapsed                State ExitCode
------------ ---------- ---------- ---------- -------------------- --------
101                 cfd          1   00:01:40            COMPLETED      0:0
102                 cfd          2   00:00:50            COMPLETED      0:0
103                 cfd          4   00:00:03    CANCELLED by 1001     0:15
"""


def read(folder: Path, name: str, text: str, **asked) -> tables.Series:
    path = folder / name
    path.write_text(text)
    return tables.read(path, None, Asked(**asked))


def seconds(series: tables.Series) -> list[float]:
    return [one for _, one in sorted(series.seconds.items())]


@pytest.mark.parametrize(
    ("heading", "cells", "meant"),
    [
        (r"Time [\si{\hour}]", ("2", "1"), [7200, 3600]),
        (r"{Time per step [\unit{\milli\second}]}", ("2", "1"), [0.002, 0.001]),
        (r"Time / \unit{\minute}", ("2", "1"), [120, 60]),
        (r"Time", (r"\SI{1.9}{\second}", r"\qty{530}{\milli\second}"), [1.9, 0.53]),
        (r"Time", (r"\SI[per-mode=symbol]{2}{\hour}", r"\SI{30}{min}"), [7200, 1800]),
    ],
)
def test_units_of_latex(tmp_path, heading, cells, meant):
    assert seconds(read(tmp_path, "a.tex", LATEX.format(heading, *cells))) == pytest.approx(meant)


def test_rates_and_unknown_units_of_latex(tmp_path):
    series = read(tmp_path, "a.tex", LATEX.format(r"Rate [\unit{\mega\cell\per\second}]", "2.1", "4.1"))
    assert series.unit == "Mcell/s"
    with pytest.raises(Refusal, match="fortnight. is no known unit of time: give .second, .minute, .hour or .day"):
        read(tmp_path, "a.tex", LATEX.format(r"Time [\si{\fortnight}]", "2", "1"))


@pytest.mark.parametrize(
    ("name", "text", "factor"),
    [
        ("a.csv", "nodes,time,efficiency\n-,min,%\n1,100,100\n2,52,96\n", 60),
        ("a.csv", "Nodes,Wall time\n#,h\n1,100\n2,52\n", 3600),
        ("a.csv", "nodes;time;rest\n[-];[min];[GB]\n1;100;1\n2;52;1\n", 60),
        ("a.csv", "nodes,time\ncount,ms\n1,100\n2,52\n", 1e-3),
        ("a.txt", "nodes time\n[#] [h]\n1 100\n2 52\n", 3600),
        ("a.txt", "Nodes Time\n# h\n1 100\n2 52\n", 3600),
        ("a.dat", "# nodes time\n# [-] [h]\n1 100\n2 52\n", 3600),
        ("a.md", "| nodes | time |\n|---|---|\n| - | h |\n| 1 | 100 |\n| 2 | 52 |\n", 3600),
    ],
)
def test_a_line_of_units(tmp_path, name, text, factor):
    assert seconds(read(tmp_path, name, text)) == pytest.approx([100 * factor, 52 * factor])


def test_a_line_of_rates(tmp_path):
    assert read(tmp_path, "a.csv", "nodes;throughput\n-;Mcells/s\n1;100\n2;192\n").unit == "Mcells/s"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", SACCT),
        ("a.txt", "nodes time\n1 1m 40s\n2 50.0s\n"),
        ("a.txt", "   nodes  time\n0 1 0 days 00:01:40\n1 2 0 days 00:00:50\n"),
        ("a.csv", "sep=;\nnodes;time\n1;100\n2;50\n"),
        ("a.csv", "Strong scaling of X\nnodes,time,note\n1,100,a\n2,50,a\n"),
        ("a.csv", "Strong scaling, LUMI\nnodes,time,note\n1,100,a\n2,50,a\n"),
        ("a.csv", "Strong scaling of 2024-01-01, on LUMI\nnodes,time\n1,100\n2,50\n"),
        ("a.txt", "Strong scaling\n\nnodes time\n1 100\n2 50\n"),
        ("a.txt", "Results\nStrong scaling of X:\nnodes  wall time\n1 100\n2 50\n"),
    ],
)
def test_what_programs_and_people_write_around_columns(tmp_path, name, text):
    series = read(tmp_path, name, text)
    assert series.kind == "strong" and seconds(series) == [100, 50]
    assert all(word not in series.understood for word in ("sep=", "(Strong", "(X", "(scaling"))


def test_each_row_has_a_name_of_its_own(tmp_path):
    rows = [{"name": f"BM/threads:{n}", "threads": n, "real_time": 8 / n, "time_unit": "ms"} for n in (1, 2, 4)]
    text = json.dumps({"benchmarks": rows})
    with pytest.raises(Refusal, match="has 3 series by name, of one number of workers each: .* --series-column none"):
        read(tmp_path, "a.json", text)
    assert seconds(read(tmp_path, "a.json", text, series_column=("none",))) == [0.008, 0.004, 0.002]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.html", "<table><tr><td>nodes</td></tr></table>", "is HTML, which is not read"),
        ("a.adoc", "|===\n|nodes |time\n\n|1 |100\n|===\n", "is AsciiDoc, which is not read"),
        ("a.txt", '[cols="1,1"]\n|===\n|nodes |time\n|1 |100\n|===\n', "is AsciiDoc, which is not read"),
        ("a.csv", "n\0o\0d\0e\0s\0", "is not text in UTF-8"),
    ],
)
def test_forms_that_are_not_read(tmp_path, name, text, said):
    with pytest.raises(Refusal) as refused:
        read(tmp_path, name, text)
    assert said in str(refused.value) and "\n" not in str(refused.value) and "\0" not in str(refused.value)


def test_of_a_report_only_its_tables_are_read(tmp_path, capsys):
    read(tmp_path, "a.csv", "nodes,time\n1,100\n2,52\n")
    assert main(["report", str(tmp_path / "a.csv"), "--out", str(tmp_path / "report")]) == 0
    for name in ("report.md", "report.json", "table.tex"):
        with pytest.raises(Refusal, match="is part of a report, and no table: give runs.csv or table.csv"):
            tables.read(tmp_path / "report" / name)
    for name in ("runs.csv", "table.csv"):
        assert tables.read(tmp_path / "report" / name).workers == [1, 2]


def test_a_document_is_refused_without_assertions_as_well(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"workers": [1, 2], "throughput": [1, 2], "kind": "weak"}\f')
    done = subprocess.run(
        [sys.executable, "-O", "-m", "profiling", "report", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "is not JSON" in done.stderr and "Traceback" not in done.stderr
