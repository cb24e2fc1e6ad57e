"""Walltimes: the formats of sbatch(1), and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from launch.plan.walltime import UNLIMITED, clock, exceeds, limit_text, walltime

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
        # "A time limit of zero requests that no time limit be imposed", as do these words, in any case.
        ("0", UNLIMITED),
        ("0:00", UNLIMITED),
        ("0-0", UNLIMITED),
        ("UNLIMITED", UNLIMITED),
        ("infinite", UNLIMITED),
    ],
)
def test_slurms_formats(text: str, seconds: int):
    assert walltime(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "1:2:3:4",
        "-5",
        "1-",
        "-1",
        "1:",
        ":30",
        "1.5",
        "1h",
        "1 2",
        "\u0661",
        "1--2",
        "5\n6",
        "9" * 5000,
        "99999-00",
    ],
)
def test_what_slurm_would_refuse(text: str):
    with pytest.raises(Refusal, match="--time .* is not a walltime: .*MM:SS"):
        walltime(text)


def test_none_is_none():
    assert walltime(None) is None


def test_no_limit_exceeds_every_limit():
    assert [exceeds(time_s, HOUR) for time_s in (None, MINUTE, HOUR, HOUR + 1, UNLIMITED)] == [False] * 3 + [True] * 2
    assert not any(exceeds(time_s, none) for time_s in (None, HOUR, UNLIMITED) for none in (None, UNLIMITED))
    assert (limit_text(UNLIMITED), limit_text(MINUTE + 1)) == ("UNLIMITED", "00:02:00")


@settings(deadline=None)
@given(st.integers(1, 400 * DAY))
def test_clock_is_read_back(seconds: int):
    assert walltime(clock(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00:00"), (59, "00:00:59"), (DAY, "1-00:00:00"), (DAY - 1, "23:59:59")]
)
def test_clock(seconds: int, text: str):
    assert clock(seconds) == text
