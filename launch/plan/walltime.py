"""Walltimes as Slurm writes them."""

import re

from launch.errors import Refusal
from launch.plan.typed import shown

LONGEST_S = 86400 * 10_000
"""The longest walltime in seconds; Slurm has the minutes as a number of 32 bits."""


def walltime(text: str | None) -> int | None:
    """Seconds of a walltime as Slurm writes it.

    Raises
    ------
    Refusal
        If Slurm would not understand it, or it is 0.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(?:([0-9]+)-)?([0-9]+)(?::([0-9]+))?(?::([0-9]+))?", text.strip()[:40])
    if match:
        days, *parts = match.groups()
        numbers = [int(part) for part in parts if part is not None]
        # The meaning of the first number: with days, hours; alone or before one other, minutes; before two others, hours.
        first = 3600 if days is not None or len(numbers) == 3 else 60
        seconds = int(days or 0) * 86400 + sum(
            n * unit for n, unit in zip(numbers, (first, first // 60, first // 3600))
        )
        if 0 < seconds <= LONGEST_S:
            return seconds
    raise Refusal(
        f"--time {shown(text)} is not a walltime: give MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS, above 0 and at "
        f"most {LONGEST_S // 86400} days"
    )


def clock(seconds: int) -> str:
    """Seconds as Slurm writes them: D-HH:MM:SS."""
    days, rest = divmod(seconds, 86400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{text}" if days else text


def minutes(seconds: int) -> int:
    """Whole minutes that hold so many seconds: Slurm counts no less."""
    return -(-seconds // 60)
