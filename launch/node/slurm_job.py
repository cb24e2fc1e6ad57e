"""The Slurm job that this process is part of: its number, why it is being ended, and its way back into the queue."""

import os
import re
import subprocess
import time
from collections.abc import Sequence

_AT_WORK = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING")
_CLEANING_UP_S = 150.0  # Slurm asks a node again that has not answered after KillWait + 2 MessageTimeout, once a minute


def number() -> str | None:
    """This job as it is to be named to Slurm, or None outside of one.

    A task of an array is ARRAY_TASK: the SLURM_JOB_ID of its last task is that of the whole array.
    """
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def restarts() -> int:
    """How often Slurm has started this job again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def nodes() -> str:
    """The nodes of this job, without those that it has lost meanwhile, as far as Slurm answers."""
    return _show(number() or "").get("NodeList") or os.environ.get("SLURM_JOB_NODELIST", "")


def lost(hosts: Sequence[str]) -> set[str]:
    """Those of some nodes that Slurm does not give work to, as far as it answers."""
    said = _run("sinfo", "-a", "-h", "-N", "-o", "%N %t", "-n", ",".join(hosts)).stdout
    return {
        host for host, state in (line.split() for line in said.splitlines()) if re.match(r"down|drain|fail|.*\*", state)
    }


def is_at_work(job: str | None) -> bool:
    """Whether another job has processes, as far as Slurm answers. One that has ended is given time for its nodes to say
    so."""
    deadline = time.monotonic() + _CLEANING_UP_S
    while job is not None and job != number():
        state = _show(job).get("JobState")
        if state != "COMPLETING" or time.monotonic() > deadline:
            return state in _AT_WORK
        time.sleep(2)
    return False


def ended_by() -> str | None:
    """Why Slurm is ending this job, which lives while it asks; None if it is not, or does not answer."""
    job = number()
    said = _show(job) if job else {}
    if said.get("PreemptTime", "None") != "None":  # it has sent SIGTERM, and waits for the end
        return "preemption"
    if said.get("JobState", "RUNNING") == "RUNNING":
        return None
    return "time limit" if said.get("Reason") == "TimeLimit" else "cancelled"


def requeue() -> str:
    """Put this job back into the queue, unless Slurm has done so; return what was done."""
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
