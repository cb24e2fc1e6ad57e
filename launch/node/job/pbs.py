"""The PBS job that this process is part of; the counterpart of `launch.node.job.slurm`."""

import datetime
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch.node.job.resubmit import resubmit
from launch.record.rundir import RunDir

_AT_WORK = ("R", "S", "U", "E", "B")
_LOST = {"down", "state-unknown", "unresolvable"}
_REQUEUED = 60  # substate of a job that is ended to be run again


def number() -> str | None:
    """Return the id of this job, a task of an array as ``13[2].server``; None outside of a job."""
    return os.environ.get("PBS_JOBID")


def nodes() -> str:
    """Return the hosts of this job."""
    try:
        return ",".join(dict.fromkeys(Path(os.environ["PBS_NODEFILE"]).read_text().split()))
    except (KeyError, OSError):
        return ""


def is_at_work(job: str | None) -> bool:
    """Return whether another job has processes, if PBS answers."""
    return job is not None and job != number() and _show(job).get("job_state") in _AT_WORK


def lost(hosts: Sequence[str]) -> set[str]:
    """Return the given nodes whose daemon PBS does not reach, if PBS answers."""
    short = {host.partition(".")[0]: host for host in hosts}  # PBS_NODEFILE may say more than PBS's own names
    said = _asked(["pbsnodes", "-F", "json", *short]).get("nodes", {})
    return {short[name] for name in short if _LOST & {*str(said.get(name, {}).get("state", "")).split(",")}}


def ended_by() -> str | None:
    """Return why PBS is ending this job; None if PBS does not say so: about a job that is being deleted it says
    nothing."""
    said = _show(number() or "")
    if not said:
        return None
    if said.get("substate") == _REQUEUED:
        return "preemption"
    with_limit = (said.get("Resource_List") or {}).get("walltime")
    began = said.get("stime")
    if with_limit and began:
        hours, minutes, seconds = (int(part) for part in str(with_limit).split(":"))
        since = datetime.datetime.now() - datetime.datetime.strptime(str(began), "%a %b %d %H:%M:%S %Y")
        if since.total_seconds() >= 3600 * hours + 60 * minutes + seconds:
            return "time limit"
    return None


def requeue(run: RunDir, submission: int | None, reason: str | None) -> str:
    """Have a run started again; return what was done. PBS itself puts back only what it has preempted."""
    if reason == "preemption":
        return "PBS puts the job back into the queue"
    return resubmit(run, submission)


def _show(job: str) -> dict[str, Any]:
    return _asked(["qstat", "-f", "-F", "json", job]).get("Jobs", {}).get(job, {})


def _asked(words: Sequence[str]) -> dict[str, Any]:
    try:
        said = json.loads(subprocess.run(words, capture_output=True, text=True, timeout=20).stdout, strict=False)
        return said if isinstance(said, dict) else {}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}
