"""Of the traced steps of a study: into which parts each point's went, and what Horovod's timeline says of them.

They are in no other number of a report: a profiler slows what it looks at.
"""

import os
from typing import Any

from launch.errors import Refusal
from launch.record.files import Unreadable
from launch.record.rundir import RunDir
from profiling.cli import trace
from profiling.study.runs import Study
from profiling.traces.parts import PARTS
from profiling.traces.timeline import PHASES


def points(study: Study) -> tuple[list[dict[str, Any]], list[str]]:
    """The traced steps of each number of ranks; also of runs of which no step is timed, such as those with a timeline.

    Parameters
    ----------
    study : Study
        Of one series. Of a run that was traced in several attempts the last counts.

    Returns
    -------
    list of dict
        By rising ``workers``, for those that were traced: ``runs`` (traced ones), ``steps`` (of all their traced ranks),
        ``step_seconds`` (mean), ``shares`` (a part of `PARTS` or hidden -> share of the traced time, all ranks and runs together), and
        ``timeline``: None, or ``steps`` (of rank 0) and the ``seconds`` a step in which any tensor was in each of `PHASES`.
    list of str
        What could not be read, and why.
    """
    software = study.runs[0].result.get("versions") or {}
    by_ranks: dict[int, list[dict[str, Any]]] = {}
    notes = []
    for entry in study.index["runs"]:
        run = RunDir(study.folder / entry["run"])
        try:
            result = run.result() if os.path.isdir(run.traces) else None
            if result is None:
                continue
            plan = run.record()
        except Unreadable as error:
            notes.append(f"traces of {entry['run']}: left out: {error.reason}")
            continue
        used = result.get("versions") or {}
        if changed := [name for name in sorted(used.keys() & software) if used[name] != software[name]]:
            said = ", ".join(f"{name} {used[name]}" for name in changed)
            notes.append(f"traces of {entry['run']}: left out: made with {said}, unlike the runs in the table")
            continue
        try:
            found = trace.gather(run)
            said = found["notes"]
        except Refusal as refusal:
            found, said = None, [str(refusal)]
        notes += [f"traces of {entry['run']}: {line.replace(f'{run.path}/', '')}" for line in said]
        if found is None:
            continue
        by_ranks.setdefault(plan["nodes"] * plan["ranks_per_node"], []).append(found)
    return [_point(ranks, by_ranks[ranks]) for ranks in sorted(by_ranks)], notes


def _point(workers: int, found: list[dict[str, Any]]) -> dict[str, Any]:
    ranks = [rank for one in found for rank in one["ranks"]]
    seconds, steps = sum(rank["seconds"] for rank in ranks), sum(len(rank["steps"]) for rank in ranks)
    return {
        "workers": workers,
        "runs": len(found),
        "steps": steps,
        "step_seconds": seconds / steps if steps else None,
        "shares": {
            part: sum(rank["shares"][part] * rank["seconds"] for rank in ranks) / seconds for part in (*PARTS, "hidden")
        }
        if steps
        else None,
        "timeline": _timeline([one["timeline"] for one in found if one["timeline"] and one["timeline"]["steps"]]),
    }


def _timeline(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    steps = sum(len(one["steps"]) for one in found)
    return (
        found
        and {
            "steps": steps,
            "seconds": {phase: sum(one["seconds"][phase] for one in found) / steps for phase in PHASES},
        }
        or None
    )
