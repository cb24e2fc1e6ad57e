"""The Flux job that this process is part of; the counterpart of `launch.node.job.slurm`.

A batch job is a Flux instance of its own. Its id is the one in the instance around it, which ``flux --parent`` asks.
"""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any

from launch.node.job.resubmit import resubmit
from launch.plan import hostlist
from launch.plan.within import flux
from launch.record.failures.causes import NODE_FAILURE
from launch.record.rundir import RunDir

_AT_WORK = ("RUN", "CLEANUP")
_LOST = r"node failure on (\S+)"


def number() -> str | None:
    """Return the id of this job as a decimal number; None outside of a job."""
    return flux.number(os.environ) or None


def nodes() -> str:
    """Return the hosts of this job."""
    return _run("flux", "hostlist", "local").strip()


def is_at_work(job: str | None) -> bool:
    """Return whether another job has processes, if Flux answers."""
    return job is not None and job != number() and _show(job).get("state") in _AT_WORK


def lost(hosts: Sequence[str]) -> set[str]:
    """Return the given nodes whose loss has ended this job, if Flux answers."""
    note = re.search(_LOST, str(_exception().get("note", "")))
    return {*hosts} & {*hostlist.expand(note[1])} if note else set()


def ended_by() -> str | None:
    """Return why Flux is ending this job; None if it is not ending it, or does not answer."""
    exception = _exception()
    if not exception.get("occurred"):
        return None
    if re.search(_LOST, str(exception.get("note", ""))):
        return NODE_FAILURE
    return "time limit" if exception.get("type") == "timeout" else "cancelled"


def requeue(run: RunDir, submission: int | None, reason: str | None) -> str:
    """Have a run started again, which Flux never does itself; return what was done."""
    return resubmit(run, submission, ["flux", "--parent"], _decimal)


def _exception() -> dict[str, Any]:
    return _show(number() or "").get("exception") or {}


def _decimal(id: str) -> str:
    return _run("flux", "job", "id", "--to=dec", id).strip() or id


def _show(job: str) -> dict[str, Any]:
    try:
        said = json.loads(_run("flux", "--parent", "jobs", "--json", job))
        return said if isinstance(said, dict) else {}
    except ValueError:
        return {}


def _run(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
