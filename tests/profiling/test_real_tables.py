"""Tables of public repositories are read, as they are or with an option; and what contradicts itself is refused."""

import json

import pytest
from real_tables import TABLES

from launch.errors import Refusal
from profiling.__main__ import main
from profiling.study import tables
from profiling.tables.columns import Asked


def write(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text)
    return path


def efficiency(series):
    first, last = series.points[0], series.points[-1]
    return last.throughput / first.throughput * first.workers / last.workers


@pytest.mark.parametrize("real", TABLES, ids=[f"{number}-{real.name}" for number, real in enumerate(TABLES)])
def test_a_real_table_is_understood_or_refused_with_the_choices(tmp_path, real):
    path = write(tmp_path, real.text, real.name)
    if real.refused:
        with pytest.raises(Refusal) as caught:
            tables.read_all(path, Asked(**real.options))
        assert real.refused in str(caught.value) and "\n" not in str(caught.value)
        return
    found = tables.read_all(path, Asked(**real.options))
    assert len(found) == real.series
    series = next(each for each in found if real.of in (None, each.name))
    assert (series.kind, series.workers[-1]) == (real.kind, real.last)
    assert efficiency(series) == pytest.approx(real.efficiency, abs=1e-3)
    assert series.understood.count("\n") == 0 and "workers: " in series.understood


# What people write, in all the forms that they keep it in: the same series.
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "nodes,time\n1,18.31\n2,9.55\n4,5.88\n"),
        ("t.csv", "nodes;time\n1;18,31\n2;9,55\n4;5,88\n"),
        ("t.tsv", "nodes\ttime [s]\n1\t18.31\n2\t9.55\n4\t5.88\n"),
        ("t.txt", "nodes   wall time\n1   18.31\n2   9.55\n4   5.88\n"),
        ("t.dat", "# nodes time\n1 18.31\n2 9.55\n4 5.88\n"),
        ("t.dat", "#nodes,time\n1,18.31\n2,9.55\n4,5.88\n"),
        ("t.csv", "# of nodes,Runtime (ms)\n1,18310\n2,9550\n4,5880\n"),
        ("t.csv", 'nodes,"time (ms)"\n1,"18,310"\n2,"9,550"\n4,"5,880"\n'),
        ("t.csv", "\ufeffNodes,Wall-clock time (min)\r\n1,0.30516666666666664\r\n2,0.15916666666666668\r\n4,0.098\r\n"),
        ("t.md", "Times:\n\nNodes | Time\n---|---:\n1 | **18.31 s**\n2 | 9550 ms\n4 | `5.88s`\n"),
        ("t.org", "| nodes | time |\n|-------+------|\n| 1 | 18.31 |\n| 2 | 9.55 |\n| 4 | 5.88 |\n"),
        (
            "t.txt",
            "+-------+------+\n| nodes | time |\n+-------+------+\n| 1 | 18.31 |\n| 2 | 9.55 |\n| 4 | 5.88 |\n+-------+------+\n",
        ),
        ("t.csv", "nodes,1,2,4\ntime,18.31,9.55,5.88\n"),
        ("t.md", "| | 1 node | 2 nodes | 4 nodes |\n|---|---|---|---|\n| time | 18.31 | 9.55 | 5.88 |\n"),
        ("t.json", json.dumps([{"nodes": n, "time": t} for n, t in ((1, 18.31), (2, 9.55), (4, 5.88))])),
        ("t.json", json.dumps({"nodes": [1, 2, 4], "time": [18.31, 9.55, 5.88]})),
        (
            "t.json",
            json.dumps(
                {"machine": "x", "results": [{"nodes": n, "time": t} for n, t in ((1, 18.31), (2, 9.55), (4, 5.88))]}
            ),
        ),
        ("t.json", json.dumps({"nodes": {"0": 1, "1": 2, "2": 4}, "time": {"0": 18.31, "1": 9.55, "2": 5.88}})),
        (
            "t.json",
            json.dumps([{"setup": {"nodes": n}, "result": {"time": t}} for n, t in ((1, 18.31), (2, 9.55), (4, 5.88))]),
        ),
        ("t.jsonl", "".join(json.dumps({"nodes": n, "time": t}) + "\n" for n, t in ((1, 18.31), (2, 9.55), (4, 5.88)))),
        ("t.csv", "kind,time,nodes,unit of nothing\nstrong,18.31,1,x\nstrong,9.55,2,x\nstrong,5.88,4,x\n"),
        ("t.csv", "nodes,cores,time\n1,64,18.31\n2,64,9.55\n4,64,5.88\n"),
        ("t.csv", "nodes,time,\n1,18.31,\n2,9.55,\n4,5.88,\n"),
        ("t.csv", "nodes,time\n\n1,18.31\n2,9.55\n4,5.88\n8,OOM\n16,\n32,-\n64,n/a\n"),
        ("t.csv", "Knoten;Zeit [s]\n1;18,31\n2;9,55\n4;5,88\n"),
        ("t.json", json.dumps({str(n): {"time": t} for n, t in ((1, 18.31), (2, 9.55), (4, 5.88))})),
        ("t.json", json.dumps({"time": {"1": 18.31, "2": 9.55, "4": 5.88}})),
        (
            "t.json",
            json.dumps({"results": {"ranks": [1, 2, 4], "times": [[18.31, 18.31], [9.55, 9.55], [5.88, 5.88]]}}),
        ),
        ("t.csv", "ranks,time,unit\n1,18.31,s\n2,9.55,s\n4,5880,ms\n"),
        ("t.csv", "nodes,time_1,time_2\n1,18.31,18.31\n2,9.55,9.55\n4,5.88,5.88\n"),
        ("t.md", "[Nodes](#nodes) | **Time [s]**\n---|---\n1 | [18.31](https://a.b/c)\n2 | [9.55](./x)\n4 | 5.88\n"),
        ("t.csv", '"nodes","time\n[s]","remark"\n1,18.31,"first\nline, ""long"""\n2,9.55,""\n4,5.88,5" disk\n'),
        ("t.csv", "GPU,,\nnodes,time,ideal\n1,18.31,1\n2,9.55,2\n4,5.88,4\n"),
        ("t.md", "| nodes | time |\n|---|---|\n|  | [s] |\n| 1 | 18.31 |\n| 2 | 9.55 |\n| 4 | 5.88 |\n"),
        ("t.csv", "nodes,time\n1,1.831×10¹\n2,9.55e0\n4,588 x 10^-2\n"),
        ("t.csv", "nodes,time (mm:ss.ss)\n1,0:18.31\n2,0:09.55\n4,0:05.88\n"),
        ("t.csv", "setup,nodes,time\nfirst,1,18.31\n,2,9.55\n,4,5.88\n"),
        (
            "t.tex",
            "\\begin{table}\n\\begin{tabular}{lr@{}l}\n\\toprule\nNodes & Time & (\\%)\\\\ % a comment\n\\midrule\n"
            "1 & \\textbf{18{.}31}\\, & 100\\\\\n2 & $9.55 \\pm 0.1$ & 96\\\\[2pt]\n4 & \\num{5.88} & 78\\\\\n"
            "\\bottomrule\n\\end{tabular}\n\\end{table}\n",
        ),
        (
            "t.tex",
            "\\begin{longtable}[c]{@{}l|S[table-format=3.1]r@{}}\n\\caption{Times}\\\\ \\hline\n\\multirow{2}{*}{Nodes} & "
            "\\multicolumn{2}{c|}{Solver} \\\\ \\cmidrule(lr){2-3}\n & time [s] & eff. \\\\ \\hline\n"
            "1 & 18.31 & 1.00 \\\\\n2 & 9.55 & 0.96 \\\\\n4 & 5.88 & 0.78 \\\\ \\hline\n\\end{longtable}\n",
        ),
    ],
)
def test_the_same_in_all_forms(tmp_path, name, text):
    series = tables.read(write(tmp_path, text, name))
    assert (series.kind, series.workers) == ("strong", [1, 2, 4])
    assert [1 / point.throughput for point in series.points] == pytest.approx([18.31, 9.55, 5.88])


@pytest.mark.parametrize(
    ("text", "workers", "rates"),
    [
        ("gpus,img_s\n1,100\n2,99\n4,390\n", [1, 2, 4], [100, 99, 390]),
        ("gpus,batch,tokens_s\n1,8,1.2k\n2,8,2300\n", [1, 2], [1200, 2300]),
        ('Cores,zones/s,Efficiency\n"1,024",10,100 %\n"2,048",19,95 %\n', [1024, 2048], [10, 19]),
        ("cores;zones/s\n1 024;1'000'000\n2 048;1'950'000\n", [1024, 2048], [1e6, 1.95e6]),
    ],
)
def test_rates_and_counts_as_they_are_written(tmp_path, text, workers, rates):
    series = tables.read(write(tmp_path, text))
    assert series.workers == workers and [point.throughput for point in series.points] == pytest.approx(rates)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_spreadsheets_export_is_read(tmp_path, encoding):
    path = tmp_path / "table.txt"
    path.write_text("GPUs\tDurchsatz [Bilder/s]\r\n1\t1.024,5\r\n2\t2.001,25\r\n", encoding=encoding)
    assert [point.throughput for point in tables.read(path).points] == [1024.5, 2001.25]


def test_a_name_stands_for_the_empty_cells_below_it(tmp_path):
    text = "| model | GPUs | img/s |\n|---|---|---|\n| A | 1 | 10 |\n| | 2 | 19 |\n| B | 1 | 5 |\n| | 2 | 9 |\n"
    first, second = tables.read_all(write(tmp_path, text, "t.md"))
    assert (first.name, second.name) == ("A", "B") and [point.throughput for point in second.points] == [5, 9]


HEAD = "workers,throughput,kind\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "1,2,weak\n2,4,872\n", "kind is '872'"),
        ("kind,workers,throughput\nweak,12,4,872\nweak,24,8,592\n", "line 2 has 4 cells and the header 3"),
        ("workers,throughput,kind,throughput\n1,100,weak,1\n2,190,weak,2\n", "2 columns 'throughput'"),
        (
            "workers,throughput,kind,unit\n1,1,weak,images/s\n2,2,weak,tokens/s\n",
            "different units (images/s, tokens/s)",
        ),
        ("GPUs,rate\n1,10 img/s\n2,20 tok/s\n", "different units (img/s, tok/s)"),
        ("workers,throughput,kind\n1,71.7,strong\n2,36.0,strong\n4,18.2,strong\n8,10.5,strong\n", "are these times"),
        ("workers,throughput,kind\n1,406,weak\n2,398,weak\n4,402,weak\n8,401,weak\n", "the rate of one worker"),
        ("nodes,solve time,total time\n1,3,9\n2,2,5\n", None),
        ("nodes,time of A,time of B\n1,3,9\n2,2,4\n", "--time-column 'time of A' or --time-column 'time of B'"),
        ("processes,threads,time\n1,1,9\n2,3,5\n4,2,4\n", "--workers-column 'processes' or --workers-column 'threads'"),
        ("nodes,time\n1,10\n2,10.2\n4,10.4\n", "--kind weak"),
        ("nodes;time\n1;4,872\n2;2,431\n", "--decimal comma or --decimal point"),
        ("nodes,time,order\n1,8,1\n1,9,2\n2,4,1\n2,5,2\n", None),
        ("nodes,time,boost\n1,8,1\n1,9,2\n2,4,1\n2,5,2\n", "are they repeats? say --series-column 'boost'"),
        ("nodes,time\n1,10 s\n2,5\n", "has no unit while others have"),
        ("nodes,time\n1,10:30\n2,5:30\n", "time is '10:30'"),
        (",A,,B,\nGPUs,img/s,eff.,img/s,eff.\n1,9,1,5,1\n2,17,0.9,9,0.9\n", "--throughput-column 'img/s (B)'"),
        ("nodes,time (furlongs)\n1,10\n2,x5\n", "time (furlongs) is 'x5'"),
        ("nodes,images/s/GPU\n1,10\n2,9\n", "the rate of one GPU and no column of GPUs"),
        ("nodes,time\n1,10\nnodes,time\n2,5\n", None),
        ("nodes,time\nmany,10\n2,5\n", "nodes is 'many'"),
    ],
)
def test_what_is_ambiguous_or_contradicts_itself(tmp_path, text, said):
    path = write(tmp_path, text)
    if said is None:
        assert tables.read_all(path)
        return
    with pytest.raises(Refusal) as caught:
        tables.read_all(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_blocks_and_problems_under_each_other_are_no_repeats(tmp_path):
    blocks = write(tmp_path, "# nodes time\n# size 100\n1 22.9\n2 16.8\n\n\n# size 200\n1 283.8\n2 94.8\n", "b.dat")
    assert [(one.name, len(one.points[0].rates)) for one in tables.read_all(blocks)] == [
        ("size 100", 1),
        ("size 200", 1),
    ]
    named = write(tmp_path, '"nodes" "2038x64"\n1 22.9\n2 16.8\n\n\n"nodes" "4096x128"\n1 283.8\n4 94.8\n', "c.dat")
    assert [one.workers for one in tables.read_all(named, Asked(time_column=("2",)))] == [[1, 2], [1, 4]]
    path = write(tmp_path, "nodes,time\n1,22.9\n2,16.8\n4,9.9\n1,283.8\n2,94.8\n4,50\n")
    with pytest.raises(Refusal, match="line 2 and line 5 have 1 worker and differ by more than a factor of 3"):
        tables.read_all(path)
    assert len(tables.read(path, None, Asked(series_column=("none",))).points[0].rates) == 2


def test_options_say_what_a_table_does_not(tmp_path):
    path = write(tmp_path, "nodes,time\n1,10\n2,10.2\n4,10.4\n")
    assert tables.read(path, None, Asked(kind="weak")).points[2].throughput == pytest.approx(4 / 10.4)
    assert tables.read(path, None, Asked(kind="strong", unit="ms")).points[2].throughput == pytest.approx(1000 / 10.4)
    path = write(tmp_path, "nodes;time\n1;4,872\n2;2,431\n")
    assert 1 / tables.read(path, None, Asked(decimal="comma")).points[0].throughput == pytest.approx(4.872)
    assert 1 / tables.read(path, None, Asked(decimal="point")).points[0].throughput == pytest.approx(4872)
    path = write(tmp_path, HEAD + "1,406,weak\n2,398,weak\n4,402,weak\n8,401,weak\n")
    series = tables.read(path, None, Asked(unit="images/s/GPU"))
    assert series.unit == "images/s" and series.points[3].throughput == 8 * 401
    assert tables.read(path, None, Asked(throughput_column=("throughput",))).points[3].throughput == 401
    with pytest.raises(Refusal, match="no column 'speed' .--throughput-column.: it has workers, throughput, kind"):
        tables.read(path, None, Asked(throughput_column=("speed",)))
    path = write(tmp_path, "nodes,time,boost\n1,8,1\n1,9,2\n2,4,1\n2,5,2\n")
    assert [s.name for s in tables.read_all(path, Asked(series_column=("boost",)))] == ["boost=1", "boost=2"]
    assert [len(p.rates) for p in tables.read(path, None, Asked(series_column=("none",))).points] == [2, 2]


def test_the_work_decides_the_kind_and_the_throughput(tmp_path):
    weak = tables.read(write(tmp_path, "ranks,cells,time\n1,100,10\n2,200,11\n4,400,12\n"))
    assert weak.kind == "weak" and weak.points[2].throughput == pytest.approx(4 / 12)
    strong = tables.read(write(tmp_path, "ranks,cells,time\n1,100,10\n2,100,7\n4,100,5\n"))
    assert strong.kind == "strong" and strong.points[2].throughput == pytest.approx(1 / 5)
    odd = tables.read(write(tmp_path, "ranks,cells,time\n1,100,10\n2,230,11\n4,390,12\n"))
    assert (odd.kind, odd.unit) == ("weak", "cells/s") and odd.points[1].throughput == pytest.approx(230 / 11)


def test_the_verbs_say_what_they_understood_and_left_out(tmp_path, capsys):
    path = write(tmp_path, "GPUs;Zeit\n1;18,31\n2;9,55\n4;5,88\n8;OOM\n")
    assert main(["report", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "understood: workers: GPUs; time: Zeit [s, as no unit is given]; strong scaling, as the times fall"
    )
    assert "left out: line 5 (8 workers): Zeit is OOM" in out
    assert main(["predict", str(path), "--workers", "16"]) == 0
    assert capsys.readouterr().out.startswith("understood: workers: GPUs")
    assert main(["report", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["understood"].startswith("understood: ")
    path = write(tmp_path, "GPUs,images/s\n1,10\n2,19\n4,36\n")
    assert main(["report", str(path)]) == 0
    assert "weak or strong scaling is not said" in capsys.readouterr().out
    assert main(["predict", str(path), "--workers", "16"]) == 2
    assert "say --kind weak" in capsys.readouterr().err
    assert main(["predict", str(path), "--workers", "16", "--kind", "weak"]) == 0
