"""Finds the rank of a hung run that is behind, from the last steps, states and places in the program of all ranks."""

import time
from collections import Counter
from typing import Any

from launch.node.hang.processes import STATES
from launch.record.contents import Hang
from launch.record.rundir import RunDir


def verdict(run: RunDir, attempt: int, timeout_s: float, reports: dict[int, dict[str, Any]]) -> Hang:
    """Return the verdict on a run that hangs.

    Parameters
    ----------
    run : RunDir
        The run.
    attempt : int
        The attempt that hangs.
    timeout_s : float
        Seconds after which a run without signs of life counts as hung.
    reports : dict
        Reports of the watchers, by node.
    """
    ranks = [
        {**rank, "node": node, "host": report["host"]}
        for node, report in reports.items()
        for rank in report.get("ranks", ())
        if rank["alive"]
    ]
    quiet = "no output and no CPU use"
    signs = f"no step, {quiet}" if any(rank["step"] for rank in ranks) else quiet
    signs = "no step" if any(rank["strict"] for rank in ranks) else signs
    found, why = _behind(judged(ranks))
    if found is None:
        files = run.node_stacks(attempt, ranks[0]["node"] if ranks else 0).parent
    else:
        files = run.node_stacks(attempt, found["node"])
    said = f"{signs} for {timeout_s:g} s; {why}: {files.relative_to(run.path)}"
    more = {} if found is None else {name: found[name] for name in ("rank", "node", "host", "step", "at")}
    return Hang(time=round(time.time(), 3), timeout_s=timeout_s, said=said, **more)


def judged(ranks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ranks by whose signs of life the run is judged. If steps are being made, these are the ranks that
    record steps: others may use CPU only to wait for them."""
    by_steps = any(rank["strict"] for rank in ranks) and any(rank["step"] for rank in ranks)
    return [rank for rank in ranks if rank["steps"]] if by_steps else ranks


def _behind(ranks: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, str]:
    """Return the rank that is behind, if one is, and why."""
    if not ranks:
        return None, "no rank is left"
    if len(ranks) == 1:
        rank = ranks[0]
        return rank, f"its only rank that is left, {rank['rank']} on {rank['host']}, {_where(rank)}"
    steps = sorted({rank["step"] for rank in ranks})
    least = [rank for rank in ranks if rank["step"] == steps[0]]
    if len(steps) > 1:
        others = f"step {steps[0]}; the others {steps[1]}" + (f" to {steps[-1]}" if len(steps) > 2 else "")
        if len(least) == 1:
            return least[0], f"{_name(least[0])} is behind ({others}) and {_where(least[0])}"
    common = f"step {steps[0]}" if len(steps) == 1 and steps[0] else ""
    for these, what in (
        ([rank for rank in least if rank["state"] in STATES], ""),
        (_not_waiting(least), "the others wait"),
        (_apart(least), "the others are elsewhere"),
    ):
        if 0 < len(these) < len(least) or these and len(least) < len(ranks):
            them = "" if len(these) == 1 else f" and {len(these) - 1} more"
            after = f", all after {common}" if common else ""
            what = f"; {what}" if what else ""
            return these[0], f"{_name(these[0])}{them} {_where(these[0])}{what}{after}"
    places = Counter(rank["at"] for rank in least if rank["at"])
    known = ", ".join(f"{count} at {at}" for at, count in places.most_common(2))
    return (
        None,
        f"no rank stands out of {len(ranks)}{f' after {common}' if common else ''}{f': {known}' if known else ''}",
    )


def _not_waiting(ranks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ranks that wait least for others, if some wait more."""
    least = min(rank["waits"] for rank in ranks)
    these = [rank for rank in ranks if rank["waits"] == least]
    return these if len(these) < len(ranks) else []


def _apart(ranks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ranks at the place in the program where the fewest are, if most are elsewhere."""
    places = Counter(rank["at"] for rank in ranks)
    at, count = places.most_common()[-1]
    return [rank for rank in ranks if rank["at"] == at] if 2 * count < len(ranks) else []


def _name(rank: dict[str, Any]) -> str:
    return f"rank {rank['rank']} on {rank['host']}"


def _where(rank: dict[str, Any]) -> str:
    state = STATES.get(rank["state"])
    if state:
        return state
    return f"is at {rank['at']}" if rank["at"] else "shows no stack"
