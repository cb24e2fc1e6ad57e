"""The traced steps of a study: the parts of each point's steps, and the phases of Horovod's timeline.

They enter no other number of a report, because a profiler slows what it observes.
"""

import os
from collections.abc import Sequence
from typing import Any

from launch.errors import Refusal
from launch.record.files import Unreadable
from launch.record.rundir import RunDir
from profiling.study.runs import Study
from profiling.traces.document import document
from profiling.traces.parts import PARTS
from profiling.traces.timeline import PHASES


def points(study: Study) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the traced steps by number of ranks, also of runs without a timed step, such as those with a timeline.

    Parameters
    ----------
    study : Study
        A study of one series. If a run was traced in several attempts, the last counts.

    Returns
    -------
    list of dict
        Points that were traced, by rising ``workers``: ``runs`` (traced ones), ``steps`` (of all traced ranks),
        ``step_seconds`` (mean), ``shares`` (a part of `PARTS` or hidden -> share of the traced time, all ranks and runs
        together), and ``timeline``: None, or ``steps`` (of rank 0) and the ``seconds`` per step in which any tensor was
        in each of `PHASES`.
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
            ranks = result.get("ranks") if result else None
        except Unreadable as error:
            notes.append(f"traces of {entry['run']}: left out: {error.reason}")
            continue
        if result is None or ranks is None:
            continue
        used = result.get("versions") or {}
        if changed := [name for name in sorted(used.keys() & software) if used[name] != software[name]]:
            versions = ", ".join(f"{name} {used[name]}" for name in changed)
            notes.append(f"traces of {entry['run']}: left out: made with {versions}, unlike the runs in the table")
            continue
        try:
            traces = document(run)
            by_ranks.setdefault(ranks, []).append(traces)
            remarks = traces["notes"]
        except Refusal as refusal:
            remarks = [str(refusal)]
        notes += [f"traces of {entry['run']}: {remark.replace(f'{run.path}/', '')}" for remark in remarks]
    return [_point(ranks, by_ranks[ranks]) for ranks in sorted(by_ranks)], notes


def _point(workers: int, traces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ranks = [rank for run in traces for rank in run["ranks"]]
    seconds, steps = sum(rank["seconds"] for rank in ranks), sum(len(rank["steps"]) for rank in ranks)
    names = (*PARTS, "hidden") if steps else ()
    shares = {name: sum(rank["shares"][name] * rank["seconds"] for rank in ranks) / seconds for name in names}
    timelines = [run["timeline"] for run in traces if run["timeline"]]
    timed = sum(len(timeline["steps"]) for timeline in timelines)
    phases = PHASES if timed else ()
    in_phase = {phase: sum(timeline["seconds"][phase] for timeline in timelines) / timed for phase in phases}
    return {
        "workers": workers,
        "runs": len(traces),
        "steps": steps,
        "step_seconds": seconds / steps if steps else None,
        "shares": shares or None,
        "timeline": {"steps": timed, "seconds": in_phase} if timed else None,
    }
