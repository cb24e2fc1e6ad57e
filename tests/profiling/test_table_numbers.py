"""Cells as numbers: read as a whole or not at all; and headings."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiling.tables import names
from profiling.tables.cells import numbers
from profiling.tables.cells.numbers import Number


def read(*cells, **kind):
    return [cell.value if isinstance(cell, Number) else cell for cell in numbers.column(cells, **kind)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=5),
    st.sampled_from(["plain", "thousands", "decimal", "german", "swiss"]),
)
def test_a_number_is_read_as_it_was_written(values, form):
    written = {
        "plain": lambda value: repr(value),
        "thousands": lambda value: f"{value:,.3f}",
        "decimal": lambda value: f"{value:.4f}".replace(".", ","),
        "german": lambda value: f"{value:,.2f}".translate(str.maketrans(",.", ".,")),
        "swiss": lambda value: f"{value:,.2f}".replace(",", "’"),
    }[form]
    meant = [
        float(value) if form == "plain" else round(value, {"thousands": 3, "decimal": 4}.get(form, 2))
        for value in values
    ]
    assert read(*map(written, values)) == pytest.approx(meant)


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789.,;:/-+eExk%() '", min_size=1, max_size=9))
def test_no_digit_of_a_cell_is_lost(cell):
    try:
        (found,) = numbers.column([cell])
    except numbers.Ambiguous:
        return
    if isinstance(found, Number):
        mantissa = re.split(r"[eE]", re.sub(r"\((.*?)\)", "", cell))[0]
        digits = re.sub(r"\D", "", mantissa).lstrip("0").rstrip("0")
        shown = re.sub(r"\D", "", repr(found.value).split("e")[0]).strip("0")
        assert shown == digits or float(found.value) == 0 == float(digits or 0)


@pytest.mark.parametrize(
    ("cells", "meant"),
    [
        (["4,872", "859"], [4872, 859]),
        (["4,872.5"], [4872.5]),
        (["1,234,567"], [1234567]),
        (["18,31", "9,55"], [18.31, 9.55]),
        (["0,617", "1,234"], [0.617, 1.234]),
        (["1.234,5", "987,6"], [1234.5, 987.6]),
        (["1 234", "12 345.5"], [1234, 12345.5]),
        (["1,2", "3.4"], ["1,2", 3.4]),
        (["18,31", "0.617"], ["18,31", 0.617]),
        (["2.5M tok/s", "220k"], [2.5e6, 2.2e5]),
        (["406+/-2", "12.5 ± 0.3"], [406, 12.5]),
        (["**1.39×**", "98.4%", "206.7*", "`7`", "~12"], [1.39, 98.4, 206.7, 7, 12]),
        (
            ["2.16× (108 %)", "12 (3)", "(3)", "1/2", "12-14", "3 4", "1.2.3"],
            [2.16, 12, "(3)", "1/2", "12-14", "3 4", "1.2.3"],
        ),
        (["1", "1.93 ± 1%", "3.7 ± 2 %"], [1, 1.93, 3.7]),
        (["1 024,5", "2 011,3"], [1024.5, 2011.3]),
        ([">3600", "≥ 24 h", "n.d.", "k.A.", "TO", "abgebrochen"], [None] * 6),
        (
            [
                "",
                "-",
                "—",
                "N/A",
                "nan",
                "OOM",
                "OOM @ 77 GB",
                "failed",
                "~~12~~",
                None,
                float("nan"),
                "TODO",
                "timed out",
            ],
            [None] * 13,
        ),
        (["1.5D+02", "9.20E+07", "1e-3"], [150, 9.2e7, 1e-3]),
        ([True, 3, 2.5, [1]], ["True", 3, 2.5, "[1]"]),
    ],
)
def test_cells(cells, meant):
    assert read(*cells) == meant


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("2m 43s", 163),
        ("00:28:47", 1727),
        ("1-02:03:04", 93784),
        ("01 min, 11.5 sec", 71.5),
        ("1h 2m", 3720),
        ("12:25", "12:25"),
        ("2h10", 7800),
        ("1h23m", 4980),
        ("0 days 01:23:04.5", 4984.5),
        ("1 day, 2:03:04", 93784),
        ("00:01:58,3", 118.3),
        ("118.3 sec.", 118.3),
    ],
)
def test_spans_of_time(cell, seconds):
    assert read(cell, time=True) == [seconds]
    assert read("31:00", "1:02:00", "0:46.5", time=True) == [1860, 3720, 46.5]
    assert read("1h23m", "42m", time=True) == [4980, 2520]
    (alone,) = numbers.column(["42m"], time=True)
    assert isinstance(alone, Number) and (alone.value, alone.unit) == (42, "m")


def test_a_percentage_of_a_spread_is_not_that_of_its_number():
    units = [
        [cell.unit for cell in numbers.column(cells) if isinstance(cell, Number)]
        for cells in (
            ["1", "1.93 ± 1%"],
            ["100 %", "95 ± 1 %"],
            ["95 % ± 1 %"],
        )
    ]
    assert units == [["", ""], ["%", "%"], ["%"]]


def test_commas_that_may_be_either_are_not_guessed():
    with pytest.raises(numbers.Ambiguous):
        numbers.column(["4,872", "8,592"])
    assert read("4,872", comma="decimal") == [4.872] and read("4,872", comma="thousands") == [4872]


@pytest.mark.parametrize(
    ("heading", "meaning", "unit", "worker"),
    [
        ("Num MPI ranks", "workers", "", "rank"),
        ("#nproc", "workers", "", "process"),
        ("gpu_count", "workers", "", "GPU"),
        ("Threads / Ranks", "workers", "", "thread"),
        ("threads/rank", "shape", "", "rank"),
        ("GPUs per node", "shape", "", "node"),
        ("GPU memory", "passed over", "", ""),
        ("cpu time used", "time", "", ""),
        ("mean time ms", "time", "ms", ""),
        ("Wall-clock [min]", "time", "min", ""),
        ("t/s", "time", "s", ""),
        ("s/step", "time", "s", ""),
        ("hours/ns", "time", "hours", ""),
        ("ns/day", "throughput", "ns/day", ""),
        ("images/sec", "throughput", "images/sec", ""),
        ("Throughput (samples/s)", "throughput", "samples/s", ""),
        ("zone-cycles/cpu_second", "throughput", "zone-cycles/cpu_second", ""),
        ("tokens/s/GPU", "rate of one", "tokens/s", "GPU"),
        ("TPS/GPU", "rate of one", "", "GPU"),
        ("Throughput (images/s/GPU)", "rate of one", "images/s", "GPU"),
        ("samples per second per GPU", "rate of one", "samples per second", "GPU"),
        ("Ideal FOM (k/sec)", "ideal", "k/sec", ""),
        ("std time ms", "spread", "", ""),
        ("Runtime Speedup from 1 GPU", "speed-up", "", ""),
        ("Scaling efficiency (%)", "efficiency", "%", ""),
        ("batch per GPU", "count of one", "", "GPU"),
        ("matrix_size", "size", "", ""),
        ("Laufzeit [s]", "time", "s", ""),
    ],
)
def test_headings(heading, meaning, unit, worker):
    found = names.heading(heading)
    assert (found.meaning, found.unit, found.worker) == (meaning, unit, worker)
