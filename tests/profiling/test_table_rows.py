"""Rows of tables that are not points: means of others, runs that failed, cells that hold no measurement."""

from pathlib import Path

import pytest

from profiling.study import tables
from profiling.tables import unfinished
from profiling.tables.grid import Grid, Row


def read(folder: Path, text: str) -> tables.Series:
    path = folder / "a.csv"
    path.write_text(text)
    return tables.read(path)


def test_means_in_the_column_of_repeats_are_no_repeats(tmp_path):
    text = "nodes,run,time\n1,1,100\n1,2,110\n1,avg,105\n2,1,52\n2,2,60\n2,std,5\n2,avg,56\n"
    one = read(tmp_path, text)
    assert [len(point.rates) for point in one.points] == [2, 2]
    assert [note for note in one.notes if "run is" in note] == [
        "left out: line 4: run is avg",
        "left out: line 7: run is std",
        "left out: line 8: run is avg",
    ]
    assert read(tmp_path, "nodes,run,time\n1,mean,105\n2,mean,56\n").workers == [1, 2]


@pytest.mark.parametrize(
    ("name", "fine", "failed"),
    [
        ("success", "True", "False"),
        ("exit code", "0", "137"),
        ("rc", "0", "-9"),
        ("returncode", "0.0", "1.0"),
        ("ExitCode", "0:0", "0:9"),
        ("oom", "0", "1"),
        ("oom", "-", "yes"),
        ("timeout", "false", "true"),
        ("ok", "1", "0"),
        ("valid", "yes", "no"),
        ("verified", "PASS", "FAIL"),
        ("note", "", "OOM"),
        ("note", "warm cache", "killed after 24 s (OOM)"),
        ("comment", "", "run failed: out of memory"),
        ("Status", "✅", "❌"),
        ("Status", "0", "137"),
        ("status", "ok", "diverged"),
        ("Status", "fertig", "abgebrochen"),
        ("State", "CD", "TO"),
        ("State", "COMPLETED", "F"),
    ],
)
def test_a_run_that_says_that_it_failed_is_left_out(tmp_path, name, fine, failed):
    one = read(tmp_path, f"nodes,time,{name}\n1,100,{fine}\n2,52,{fine}\n4,3,{failed}\n")
    assert one.workers == [1, 2] and f"left out: line 4: {name} is {failed}" in one.notes


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("notes", ("", "2nd try", "no OOM")),
        ("note", ("OOM-killer off", "failed node replaced", "timeout raised to 2 h")),
        ("completed", ("1000", "1000", "500")),
        ("Status", ("200", "200", "200")),
        ("rc", ("1.0", "1.0", "1.0")),
        ("rc", ("9", "10", "12")),
        ("timeout", ("1", "1", "1")),
        ("note", ("timeout (s) 100", "timeout: 3600", "time limit 100")),
    ],
)
def test_what_does_not_say_that_a_run_failed(tmp_path, name, cells):
    rows = "".join(f"{n},{100 / n},{cell}\n" for n, cell in zip((1, 2, 4), cells))
    assert read(tmp_path, f"nodes,time,{name}\n{rows}").workers == [1, 2, 4]


@pytest.mark.parametrize(
    ("name", "cells", "said"),
    [
        ("status", ("0", "0", "1"), "0 or 1"),
        ("status", ("0.0", "0.0", "1.0"), "0.0 or 1.0"),
        ("failed", ("0", "1", "1"), "1"),
        ("failed", ("0", "3", "1"), "3 or 1"),
        ("rc", ("12", "12", "12"), "12"),
        ("comment", ("", "", "failed on 1st try; rerun ok"), "failed on 1st try; rerun ok"),
        ("note", ("", "", "OOM (retried: passed)"), "OOM (retried: passed)"),
    ],
)
def test_what_need_not_say_that_a_run_failed_is_noted(tmp_path, name, cells, said):
    one = read(tmp_path, "nodes,time,{}\n1,100,{}\n2,52,{}\n4,28,{}\n".format(name, *cells))
    assert one.workers == [1, 2, 4]
    assert one.notes == (f"{name} is {said}: this need not say that a run failed; no row is left out for it",)


def test_steps_of_many_jobs_are_left_out():
    cells = [(f"{job}{step}", "1", "100") for job in range(5000) for step in ("", ".batch", ".0")]
    rows = tuple(Row(f"line {line}", each) for line, each in enumerate(cells, 2))
    grid = unfinished.left_out(Grid(("JobID", "nodes", "time"), rows))
    assert len(grid.rows) == 5000 and grid.notes == ("left out: 10000 lines of steps of jobs, from line 3 on",)


@pytest.mark.parametrize(
    "cell",
    [">3600", "> 24 h", "n.d.", "k. A.", "does not fit", "doesn't fit", "insufficient memory", "TO", "-1", "0.00"],
)
def test_a_cell_that_is_no_measurement_is_left_out(tmp_path, cell):
    one = read(tmp_path, f"nodes,time\n1,100\n2,52\n4,{cell}\n")
    assert one.workers == [1, 2] and f"left out: line 4 (4 workers): time is {cell}" in one.notes


@pytest.mark.parametrize("cell", ["19.2 s (1)", "19.2(4)", "19.2 (0.4)", "0m 19.2s (mean)"])
def test_what_stands_in_brackets_behind_a_number_is_a_remark(tmp_path, cell):
    one = read(tmp_path, f"nodes,time\n1,{cell}\n2,{cell.replace('19.2', '10')}\n")
    assert one.points[0].throughput == pytest.approx(1 / 19.2)
    assert f"what stands in brackets behind a number, as in {cell}, is not used" in one.notes


def test_a_remark_behind_a_number_of_workers(tmp_path):
    one = read(tmp_path, "nodes,time\n1 (serial),100\n2,52\n")
    assert one.workers == [1, 2] and "nodes is 1 (serial) in line 2: read as 1" in one.notes
