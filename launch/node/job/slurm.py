"""The Slurm job that this process is part of: its number, why Slurm is ending it, and how to requeue it."""

import os
import re
import subprocess
import time
from collections.abc import Sequence

_AT_WORK = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING")
_CLEANING_UP_S = 150.0  # a silent node is asked again after KillWait + 2 MessageTimeout, once a minute


def number() -> str | None:
    """Return the job ID by which Slurm knows this job, or None outside of a job.

    A task of an array is ARRAY_TASK: the SLURM_JOB_ID of its last task is that of the whole array.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def restarts() -> int:
    """Return how often Slurm has started this job again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def nodes() -> str:
    """Return the nodes of this job, without those that it has lost since, if Slurm answers."""
    return _show(number() or "").get("NodeList") or os.environ.get("SLURM_JOB_NODELIST", "")


def lost(hosts: Sequence[str]) -> set[str]:
    """Return the given nodes to which Slurm gives no work, if Slurm answers."""
    said = _run("sinfo", "-a", "-h", "-N", "-o", "%N %t", "-n", ",".join(hosts)).stdout
    return {
        host for host, state in (line.split() for line in said.splitlines()) if re.match(r"down|drain|fail|.*\*", state)
    }


def is_at_work(job: str | None) -> bool:
    """Return whether another job has processes, if Slurm answers. Wait for the nodes of a job that has ended to report
    its end."""
    deadline = time.monotonic() + _CLEANING_UP_S
    while job is not None and job != number():
        state = _show(job).get("JobState")
        if state != "COMPLETING" or time.monotonic() > deadline:
            return state in _AT_WORK
        time.sleep(2)
    return False


def ended_by() -> str | None:
    """Return why Slurm is ending this job, in which this process runs; None if Slurm is not ending it, or does not
    answer."""
    job = number()
    said = _show(job) if job else {}
    if said.get("PreemptTime", "None") != "None":  # Slurm has sent SIGTERM, and waits for the end
        return "preemption"
    if said.get("JobState", "RUNNING") == "RUNNING":
        return None
    return "time limit" if said.get("Reason") == "TimeLimit" else "cancelled"


def requeue() -> str:
    """Requeue this job, unless Slurm has done so; return what was done."""
    answer = _scontrol("requeue", number() or "")
    if answer.returncode and "pending" not in answer.stderr:
        return f"not put back into the queue: {answer.stderr.strip()}"
    return "put back into the queue"


def _show(job: str) -> dict[str, str]:
    return dict(
        re.findall(r"(?:^| )(JobState|Reason|PreemptTime|NodeList)=(\S+)", _scontrol("-o", "show", "job", job).stdout)
    )


def _scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    return _run("scontrol", *words)


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))
