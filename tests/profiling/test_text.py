"""Numbers as text: digits follow their interval, axes have short labels; and which runs share cores or GPUs."""

import math

import pytest
import studies
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from profiling import text
from profiling.reporting import style
from profiling.study import runs


@pytest.mark.parametrize(
    ("low", "value", "high", "expected"),
    [
        (2606.9, 2666.93, 2726.9, "2670 [2610, 2730]"),  # half is 60: one digit of it
        (2636.9, 2666.93, 2696.9, "2667 [2637, 2697]"),  # half is 30: two
        (0.98123, 0.98765, 0.99407, "0.988 [0.981, 0.994]"),
        (4192.6, 33817, 184350, "34000 [4200, 180000]"),  # two digits at least
        (0.99999999, 1.0, 1.00000001, "1.000000 [1.000000, 1.000000]"),  # seven at most
        (5.0, 5.0, 5.0, "5 [5, 5]"),
    ],
)
def test_digits_follow_the_interval(low, value, high, expected):
    form = text.within(low, high)
    assert f"{form(value)} {text.span(low, high, form)}" == expected


def test_a_share_is_in_per_cent_and_seconds_in_milliseconds():
    assert text.within(0.8666, 0.8746, 100, "%")(0.87061) == "87.1%"
    assert text.within(0.05750, 0.05783, 1000)(0.05766) == "57.66"


@given(st.floats(1e-5, 1e11), st.floats(1e-5, 0.9))
def test_no_more_is_lost_than_the_interval_leaves_unknown(value, part):
    low, high = value * (1 - part), value * (1 + part)
    form = text.within(low, high)
    for number in (low, value, high):
        assert abs(float(form(number)) - number) <= max(0.15 * (high - low) / 2, 1e-6 * value)


def test_what_works_is_named_in_singular_and_plural():
    assert [text.counted(1, works) for works in ("ranks", "GPUs", "processes")] == ["1 rank", "1 GPU", "1 process"]
    assert text.counted(4, "processes") == "4 processes"


@pytest.mark.parametrize(
    ("largest", "label"),
    [(2.4e11, "throughput [10⁹ zones/s]"), (550, "throughput [zones/s]"), (3e-5, "throughput [10⁻⁶ zones/s]")],
)
def test_the_labels_of_an_axis_are_short(largest, label):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], [largest / 100, largest])
    style.rate_axis(axes, "zones/s")
    figure.draw_without_rendering()
    assert axes.get_ylabel() == label
    low, high = axes.get_ylim()
    shown = [one.get_text() for at, one in zip(axes.get_yticks(), axes.get_yticklabels()) if low <= at <= high]
    assert 3 <= len(shown) <= 12 and max(map(len, shown)) <= 5
    assert math.isclose(float(shown[-1]) * 10 ** style.power(largest), max(t for t in axes.get_yticks() if t <= high))


def test_a_number_at_a_tick_is_short():
    assert [style.short(value) for value in (64, 1e6, 2.5e9)] == ["64", "10⁶", "2.5·10⁹"]


def test_ranks_that_share_cores_or_gpus_are_named(tmp_path):
    folder = studies.make(tmp_path / "study", repeats=1)  # 1, 2 and 4 ranks on this machine, of 2 cores
    (line,) = runs.crowded(runs.read(folder))
    assert line.startswith("at 4 ranks, ranks outnumber") and "2 cores of a node, not one core each" in line
    assert line in runs.notes(runs.read(folder))
    for path in folder.glob("n*/run.json"):
        studies.change_json(path, backend="slurm", gpus_per_node=1)
    assert runs.crowded(runs.read(folder)) == []  # nodes of their own
    for path in folder.glob("n*/run.json"):
        studies.change_json(path, ranks_per_node=4, cpus_per_task=2)
    cores, gpus = runs.crowded(runs.read(folder))
    assert cores.startswith("at 1, 2, 4 ranks") and "not one set of 2 cores each" in cores
    assert "the 1 GPU of a node, not one GPU each" in gpus
