"""python -m launch list [FOLDER ...] [--json]: studies and runs, one line each; without a name, those in the folder
runs.

For the state of each run of a study: python -m launch status STUDY.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.cli import status
from launch.cli.names import Named, short
from launch.plan import options
from launch.record.study import is_study
from launch.submit import places, states
from launch.submit.study import eta


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Named):
    """How to show the studies and runs."""

    json: bool = False  # print JSON, for programs


def main(argv: list[str]) -> int:
    """Print a line per study, and one for each run outside of studies; return 0.

    Raises
    ------
    Refusal
        If something named is neither a run nor a folder with runs.
    """
    chosen, words = options.with_words(Options, argv, "list")
    known, silence = states.look(places.find(chosen.paths(words)))
    by_path = {one.path: one for one in known}
    groups = places.grouped(by_path)
    left = eta.of_studies(known)
    entries = [
        _entry(path, [by_path[run] for run in runs]) | {"left_s": left.get(path)} for path, runs in groups.items()
    ]
    if chosen.json:
        print(json.dumps(entries, indent=1))
    else:
        status.show(status.table([_row(entry) for entry in entries], always=("name", "states")))
    for entry in entries:
        if entry["stranger_in"]:
            print(
                f"launch: {entry['path']} lies in the folder of a study to which it does not belong, and is not "
                "counted",
                file=sys.stderr,
            )
    if silence:
        print(
            f"launch: the scheduler does not answer ({silence}): the states shown are those that the runs recorded",
            file=sys.stderr,
        )
    return 0


def _entry(path: Path, members: Sequence[states.Known]) -> dict[str, Any]:
    alone = members[0].path == path
    units = list(dict.fromkeys(one.unit for one in members if one.throughput))
    rates = [one.throughput for one in members if one.throughput and len(units) == 1]
    return {
        "path": str(path),
        "kind": "run" if alone else "study",
        "stranger_in": str(path.parent) if alone and is_study(path.parent) else None,
        "workload": next((one.workload for one in members if one.workload), None),
        "runs": len(members),
        "nodes": sorted({one.nodes for one in members if one.nodes}),
        "states": dict(Counter(one.state for one in members).most_common()),
        "throughput": [min(rates), max(rates)] if rates else None,  # the least and the greatest
        "unit": units[0] if units else None,
        "since": max((one.since for one in members if one.since), default=None),
    }


def _row(entry: dict[str, Any]) -> dict[str, str]:
    return {
        "name": short(Path(entry["path"])),
        "kind": entry["kind"],
        "workload": entry["workload"] or "",
        "runs": str(entry["runs"]),
        "nodes": ",".join(map(str, entry["nodes"])),
        "states": ", ".join(f"{count} {state}" for state, count in entry["states"].items()),
        "throughput": _throughput(entry),
        "left": eta.text(entry["left_s"]).removesuffix(" left"),
        "last event": time.strftime("%Y-%m-%d %H:%M", time.localtime(entry["since"])) if entry["since"] else "",
    }


def _throughput(entry: dict[str, Any]) -> str:
    if entry["throughput"] is None:
        return ""
    ends = dict.fromkeys(f"{rate:.4g}" for rate in entry["throughput"])
    return f"{'..'.join(ends)} {entry['unit']}"
