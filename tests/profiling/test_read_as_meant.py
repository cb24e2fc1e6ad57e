"""Tables in which a cell, a unit or a whole table could be taken for another: read as they were meant, or refused."""

from pathlib import Path

import pytest

from launch.errors import Refusal
from profiling.study import tables
from profiling.tables.columns import Asked

MACHINES = (
    "| {0} | # GPUs | img/s |\n|---|---|---|\n| V100 | 1 | 100 |\n| | 2 | 190 |\n| A100 | 1 | 200 |\n| | 2 | 390 |\n"
)
SACCT = """JobID|JobName|NNodes|Elapsed|State|ExitCode
101|cfd|1|00:01:40|COMPLETED|0:0
101.batch|batch|1|00:01:40|COMPLETED|0:0
102_1|cfd|2|00:00:50|COMPLETED|0:0
102_1.batch|batch|1|00:00:50|COMPLETED|0:0
102_1.0|cfd|2|00:00:49|COMPLETED|0:0
103|cfd|4|00:00:25|COMPLETED|0:0
104|cfd|8|00:00:03|CANCELLED by 1000|0:15
105|cfd|8|00:00:03|NODE_FAIL|1:0
106|cfd|8|00:00:03|OUT_OF_MEMORY|0:125
"""
TWO = "## Results\n\nOn V100:\n\n{0}\nOn A100:\n\n{1}"
OF_V100 = "| GPUs | img/s |\n|---|---|\n| 1 | 400 |\n| 2 | 780 |\n"
OF_A100 = "| GPUs | img/s |\n|---|---|\n| 1 | 900 |\n| 2 | 1750 |\n"


def read(folder: Path, name: str, text: str) -> dict[str, dict[int, list[float]]]:
    """The rates at each number of workers, of each series."""
    path = folder / name
    path.write_text(text)
    return {
        one.name: {point.workers: [round(rate, 4) for rate in point.rates] for point in one.points}
        for one in tables.read_all(path, Asked())
    }


@pytest.mark.parametrize(
    ("name", "text", "rates"),
    [
        # an empty cell keeps its place
        ("a.tsv", "nodes\ttime [s]\tideal [s]\n1\t100\t100\n2\t\t50\n4\t25\t25\n", {1: 0.01, 4: 0.04}),
        ("a.tsv", "nodes\ttime\tspeedup\n1\t100\t1\n2\t\t1.9\n4\t25\t4\n", {1: 0.01, 4: 0.04}),
        ("a.txt", "nodes  time(s)  ideal(s)\n1      100.0    100.0\n2               50.0\n4      25.0     25.0\n", {1: 0.01, 4: 0.04}),
        ("a.txt", "GPUs  Compute(s)  Total(s)\n1     90.0        100.0\n2                 50.0\n4     23.0        25.0\n", {1: 0.01, 2: 0.02, 4: 0.04}),
        # what aligns columns is no empty cell
        ("a.tsv", "nodes\t\ttime\n1\t\t100\n128\t10\n", {1: 0.01, 128: 0.1}),
        ("a.tsv", "nodes\ttime\n1\t\t100\n2\t\t50\n", {1: 0.01, 2: 0.02}),
        # steps are worth their batch
        ("a.csv", "gpus,steps/s,batch size\n1,10,32\n2,9.8,64\n4,9.5,128\n", {1: 320, 2: 627.2, 4: 1216}),
        ("a.md", "| GPUs | batch per GPU | it/s |\n|-|-|-|\n| 1 | 256 | 4 |\n| 2 | 256 | 3.9 |\n", {1: 1024, 2: 1996.8}),
        ("a.csv", "gpus,images per step,step time (s)\n8,2048,1.0\n16,2048,0.5\n32,2048,0.25\n", {8: 1, 16: 2, 32: 4}),
        ("a.csv", "gpus,epoch time (s),batch per gpu\n1,400,32\n2,200,32\n4,100,32\n", {1: 0.0025, 2: 0.005, 4: 0.01}),
        # units of times
        ("a.csv", "ranks,time [usec]\n1,10\n2,5\n", {1: 1e5, 2: 2e5}),
        ("a.csv", "nodes,time (in minutes)\n1,1\n2,0.5\n", {1: 0.0167, 2: 0.0333}),
        ("a.csv", "nodes,time (mins.)\n1,1\n2,0.5\n", {1: 0.0167, 2: 0.0333}),
        ("a.csv", "nodes,time,time_unit\n1,2000,ms\n2,1000,ms\n", {1: 0.5, 2: 1}),
        ("a.md", "| GPUs | time |\n|---|---|\n| 1 | 100 ms ± 5 ms |\n| 2 | 50 ms ± 2 ms |\n", {1: 10, 2: 20}),
        # thousands and millions behind a blank
        ("a.csv", "nodes,images/s\n1,900\n2,1.7 k\n4,3.3 k\n", {1: 900, 2: 1700, 4: 3300}),
        ("a.csv", "ranks,particles,time\n1,500 k,10\n2,1 M,8\n4,1 M,5\n", {1: 5e4, 2: 1.25e5, 4: 2e5}),
        ("a.md", "|nodes|time (s)|\n|-|-|\n|1|100|\n|2|50|\n", {1: 0.01, 2: 0.02}),
        # dots that separate thousands, and dots that do not
        ("a.csv", "Knoten;Durchsatz [Bilder/s]\n1;980\n2;1.940\n4;3.720\n", {1: 980, 2: 1940, 4: 3720}),
        ("a.csv", "Knoten;Bilder/s\n1;118.312\n2;1.204.871\n", {1: 118312, 2: 1204871}),
        ("a.csv", "nodes;steps/s\n1;12.345\n2;23.789\n", {1: 12.345, 2: 23.789}),
        ("a.csv", "nodes,steps/s\n1,12\n2,23.789\n", {1: 12, 2: 23.789}),
        # what sacct and pandas print
        ("a.txt", SACCT, {1: 0.01, 2: 0.02, 4: 0.04}),
        ("a.txt", "   nodes  time_s\n0      1   100.0\n1      2    50.0\n", {1: 0.01, 2: 0.02}),
        ("a.txt", "nodes  time  status\n1  100  ok\n2  50  ok\n4  3  FAILED\n8  2  RUNNING\n", {1: 0.01, 2: 0.02}),
    ],
)  # fmt: skip
def test_a_table_is_read_as_it_was_meant(tmp_path: Path, name: str, text: str, rates: dict[int, float]):
    (found,) = read(tmp_path, name, text).values()
    assert found == {workers: [pytest.approx(rate, abs=1e-4)] for workers, rate in rates.items()}


@pytest.mark.parametrize("name", ["GPU", "Machine"])
def test_a_machine_stands_for_the_empty_cells_below_it(tmp_path: Path, name: str):
    found = read(tmp_path, "a.md", MACHINES.format(name))
    assert found == {"V100": {1: [100], 2: [190]}, "A100": {1: [200], 2: [390]}}


@pytest.mark.parametrize("text", [TWO.format(OF_V100, OF_A100), f"{OF_V100}\n{OF_A100}"])
def test_two_tables_are_two_series(tmp_path: Path, text: str):
    found = list(read(tmp_path, "a.md", text).values())
    assert found == [{1: [400], 2: [780]}, {1: [900], 2: [1750]}]


def test_a_strong_and_a_weak_table_below_one_heading(tmp_path: Path):
    path = tmp_path / "a.md"
    table = "| nodes | time (s) |\n|---|---|\n| 1 | {} |\n| 2 | {} |\n"
    path.write_text(f"# Results\n\nStrong scaling\n\n{table.format(100, 52)}\nWeak scaling\n\n{table.format(10, 11)}")
    assert [series.kind for series in tables.read_all(path, Asked())] == ["strong", "weak"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("GPUs,images/s\n1,300\n2,298\n4,295\n8,290\n", "stays the same"),
        ("gpus,Throughput (img/s)\n1,300\n2,151\n4,76\n8,39\n", "falls as 1/workers"),
        ("gpus,it/s\n1,10\n2,9.8\n4,9.5\n8,9.3\n", "stays the same"),
        ("nodes,time [m]\n1,100\n2,52\n", "'m'"),
        ("nodes,time [ks]\n1,10\n2,6\n", "'ks'"),
        ("nodes,min,median,max\n1,9.8,10,11\n2,5,5.2,6\n", "median"),
        ("nodes,throughput\n1,900\n2,1.7 GB/s\n4,3.3 GB/s\n", "unit"),
        ("nodes,time,unit\n1,2,min\n2,66,\n4,0.66,min\n", "unit"),
        ("GPUs,GPU-hours\n8,32\n16,17.1\n32,9.5\n", "GPU-hours"),
        ("T/V,N,P,Q,Time\nW,100,1,1,80\nW,100,2,2,21\nW,100,4,4,6\n", "product"),
        ("ranks,N,time\n1,128,80\n8,250,60\n64,500,55\n", "--kind"),
        ("Knoten;Durchsatz;Zeit [s]\n1;980;0.5\n2;1.940;0.25\n4;3.720;0.12\n", "--decimal"),
        ("JobID|NNodes|Elapsed|State\n1|1|00:01:40|FAILED\n2|2|00:01:40|TIMEOUT\n", "State is FAILED"),
        ("nodes  time  eff\n1      100   100\n       50    90\n4      25    80\n", "cells"),
    ],
)
def test_what_can_be_meant_otherwise_is_refused(tmp_path: Path, text: str, words: str):
    with pytest.raises(Refusal) as refused:
        read(tmp_path, "a.csv" if "," in text else "a.txt", text)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_the_times_beside_a_throughput_keep_their_unit(tmp_path: Path):
    from profiling.tables import reading

    text = "nodes,throughput,{}\n1,100,300 ms\n2,190,160 ms\n"
    for heading in ("time", "time (ms)", "time (Min)"):
        found = reading.read(tmp_path / "a.csv", text.format(heading), Asked())
        assert [one.seconds for one in found.measurements] == [0.3, 0.16]
    found = reading.read(tmp_path / "a.csv", "nodes,throughput,time (Min)\n1,100,30\n2,190,16\n", Asked())
    assert [one.seconds for one in found.measurements] == [1800, 960]
