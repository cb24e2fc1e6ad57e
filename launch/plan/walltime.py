"""Walltimes as Slurm writes them."""

import re

from launch.errors import Refusal
from launch.plan.typed import shown

LONGEST_S = 86400 * 10_000
"""The longest walltime in seconds; Slurm stores the minutes as a 32-bit number."""

UNLIMITED = 0
"""The walltime of a run without a limit."""


def walltime(text: str | None) -> int | None:
    """Return the seconds of a walltime as Slurm writes it; `UNLIMITED` for ``UNLIMITED``, ``INFINITE`` and 0.

    Raises
    ------
    Refusal
        If Slurm would not understand it.
    """
    if text is None:
        return None
    if text.strip().lower() in ("unlimited", "infinite"):
        return UNLIMITED
    match = re.fullmatch(r"(?:([0-9]{1,12})-)?([0-9]{1,12})(?::([0-9]{1,12}))?(?::([0-9]{1,12}))?", text.strip())
    if match:
        days, *parts = match.groups()
        numbers = [int(part) for part in parts if part is not None]
        # The meaning of the first number: with days, hours; alone or before one other, minutes; before two others,
        # hours.
        first = 3600 if days is not None or len(numbers) == 3 else 60
        seconds = int(days or 0) * 86400 + sum(
            n * unit for n, unit in zip(numbers, (first, first // 60, first // 3600))
        )
        if seconds <= LONGEST_S:
            return seconds
    raise Refusal(
        f"--time {shown(text)} is not a walltime: give MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS, at most "
        f"{LONGEST_S // 86400} days, or UNLIMITED"
    )


def duration(text: str, option: str) -> float:
    """Return the seconds of a time that may also be written as 90s, 30m or 2h; other numbers are as in a walltime.

    Raises
    ------
    Refusal
        If it is neither, or has no end.
    """
    if match := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smh])", text.strip()):
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
    try:
        seconds = walltime(text)
    except Refusal:
        seconds = None
    if not seconds:
        raise Refusal(f"{option} {shown(text)} is not a time: give it as 90s, 30m, 2h, MINUTES, MM:SS or HH:MM:SS")
    return float(seconds)


SHORTEST_HANG_S = 5.0
"""The least timeout: a rank that writes a file, or waits for a busy node, may well be idle for that long."""


def hang_timeout(text: str | None) -> float:
    """Return the seconds of ``--hang-timeout``; 0 if it is not given.

    Raises
    ------
    Refusal
        If it is not a time, or too short to show anything.
    """
    seconds = 0.0 if text is None else duration(text, "--hang-timeout")
    if text is not None and seconds < SHORTEST_HANG_S:
        raise Refusal(
            f"--hang-timeout {text} is shorter than {SHORTEST_HANG_S:g} s, in which any program may be idle: give "
            "several times the longest step, as 30m; or leave it out"
        )
    return seconds


def in_words(seconds: float) -> str:
    """Return a timeout as text for people."""
    return f"{seconds:g} s" if seconds < 120 else clock(round(seconds))


def exceeds(time_s: int | None, limit_s: int | None) -> bool:
    """Return whether a walltime is longer than a limit; None is a time that was not given."""
    return bool(limit_s) and time_s is not None and (time_s == UNLIMITED or time_s > limit_s)


def limit_text(time_s: int) -> str:
    """Return a walltime as Slurm takes it, in whole minutes."""
    return "UNLIMITED" if time_s == UNLIMITED else clock(60 * minutes(time_s))


def clock(seconds: int) -> str:
    """Return seconds as Slurm writes them: D-HH:MM:SS."""
    days, rest = divmod(seconds, 86400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{text}" if days else text


def minutes(seconds: int) -> int:
    """Return seconds as whole minutes, Slurm's smallest unit, rounded up."""
    return -(-seconds // 60)
