"""Walltimes: the formats of sbatch(1), and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from launch.plan.walltime import clock, walltime

# sbatch(1), --time: 'Acceptable time formats include "minutes", "minutes:seconds", "hours:minutes:seconds",
# "days-hours", "days-hours:minutes" and "days-hours:minutes:seconds".'
MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90 * MINUTE),
        ("2:30", 2 * MINUTE + 30),
        ("1:02:03", HOUR + 2 * MINUTE + 3),
        ("2-3", 2 * DAY + 3 * HOUR),
        ("2-3:04", 2 * DAY + 3 * HOUR + 4 * MINUTE),
        ("2-03:04:05", 2 * DAY + 3 * HOUR + 4 * MINUTE + 5),
        ("0:01", 1),
        ("100:00:00", 100 * HOUR),
        (" 30 ", 30 * MINUTE),
    ],
)
def test_slurms_formats(text: str, seconds: int):
    assert walltime(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "0",
        "0:00",
        "0-0",
        "1:2:3:4",
        "-5",
        "1-",
        "-1",
        "1:",
        ":30",
        "1.5",
        "1h",
        "1 2",
        "infinite",
        "1--2",
        "5\n6",
    ],
)
def test_what_slurm_would_refuse_or_take_for_no_limit(text: str):
    with pytest.raises(Refusal, match="is not a walltime: give MINUTES, MM:SS"):
        walltime(text)


def test_none_is_none():
    assert walltime(None) is None


@settings(deadline=None)
@given(st.integers(1, 400 * DAY))
def test_clock_is_read_back(seconds: int):
    assert walltime(clock(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00"), (59, "00:00:59"), (DAY, "1-00:00:00"), (DAY - 1, "23:59:59")]
)
def test_clock(seconds: int, text: str):
    assert clock(seconds) == text
