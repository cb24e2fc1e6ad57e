"""Asks PBS for the states of jobs, and for the limits of queues and arrays."""

import json
import re
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from launch.backends.commands import command
from launch.backends.scheduler import ENDED, QUEUED, RUNNING, Answer, Status, marks
from launch.errors import Refusal, nearest
from launch.plan.plan import Plan
from launch.plan.walltime import exceeds, limit_text, walltime

SILENT = r"(?i)cannot connect|Connection refused|timed out|No route|errno=150(08|10|31)|Premature end"
"""What PBS's commands say when the server does not answer."""

TIMEOUT_S = 20.0  # PBS's own commands wait for minutes or hours

_NO_HISTORY = "not configured to maintain job history"
_ARRAY = 10_000  # PBS's own default of max_array_size
_WORDS = {
    "Q": "QUEUED", "H": "HELD", "W": "WAITING", "T": "MOVING", "R": "RUNNING", "B": "RUNNING", "S": "SUSPENDED",
    "U": "SUSPENDED", "E": "EXITING",
}  # fmt: skip
_WAITING = "QHWTM"
_DELETED, _DONE = 91, 92  # substates of a job that has ended
_NEVER = "Can Never Run"


def ask(ids: Iterable[str]) -> Answer:
    """Return what qstat reports about jobs and about the tasks of arrays. Without job history, it omits jobs that have
    ended."""
    ids = sorted(set(ids))
    if not ids:
        return Answer({})
    tasks = ["-t"] if any("[" in each for each in ids) else []
    said = "no Jobs"
    for history in (["-x"], []):
        answer = command(["qstat", *history, *tasks, "-f", "-F", "json", *ids], TIMEOUT_S)
        if answer is None:
            return Answer({}, f"no answer to qstat within {TIMEOUT_S:.0f} s, or no qstat here")
        said = (answer.stderr.strip().splitlines() or [f"qstat: exit status {answer.returncode}"])[-1]
        if re.search(SILENT, answer.stderr) or answer.returncode in (255, 162):
            return Answer({}, said)
        if _NO_HISTORY not in answer.stderr:
            jobs = _jobs(answer.stdout)
            if jobs is None:
                return Answer({}, f"qstat printed what is no JSON ({said})")
            return Answer({id: status(job) for id, job in jobs.items()})
    return Answer({}, said)


def status(job: dict[str, Any]) -> Status:
    """Return the status of a job, from what qstat says about it."""
    return _status(job)._replace(marks=marks(str(job.get("Job_Name", "")), str(job.get("Submit_arguments", ""))))


def _status(job: dict[str, Any]) -> Status:
    letter, substate = str(job.get("job_state", "")), job.get("substate")
    nodes = ",".join(hosts(str(job.get("exec_host", ""))))
    comment = str(job.get("comment", ""))
    if letter not in ("F", "X"):
        phase = QUEUED if letter in _WAITING else RUNNING
        if letter == "H" and "s" in str(job.get("Hold_Types", "")) and job.get("depend"):
            comment = "waits for the job that it depends on"
        reason = re.sub(r"^Not Running: ", "", comment) if phase == QUEUED else ""
        return Status(phase, _WORDS.get(letter, letter), reason, nodes)
    code = job.get("Exit_status")
    if code is None and job.get("depend") and "s" in str(job.get("Hold_Types", "")):
        return Status(ENDED, "DEPENDENCY FAILED", "the job that it depends on has failed", nodes, "cancelled")
    if substate == _DELETED:
        return Status(ENDED, "DELETED", "", nodes, "cancelled")
    if code == -29:
        return Status(ENDED, "TIME LIMIT", "", nodes, "timeout")
    if code in (-20, -11):
        return Status(ENDED, "LOST ITS FIRST NODE", "", nodes, "stopped")
    if substate == _DONE and code == 0:
        return Status(ENDED, "FINISHED", "", nodes)
    what = f"EXIT STATUS {code}" if isinstance(code, int) and code >= 0 else f"NOT STARTED (PBS says {code})"
    return Status(ENDED, what, "", nodes)


def hosts(exec_host: str) -> list[str]:
    """Return the hosts of ``n1/0*2+n2/0*2``, each once."""
    return list(dict.fromkeys(part.partition("/")[0] for part in exec_host.split("+") if part))


def never(status: Status | None) -> str:
    """Return why a job can never run; empty if PBS does not say so."""
    return status.reason if status and status.phase == QUEUED and status.reason.startswith(_NEVER) else ""


def answers() -> bool:
    """Return whether the server answers."""
    answer = command(["qstat", "-B"], TIMEOUT_S)
    return answer is not None and answer.returncode == 0


def by_name(name: str) -> list[str] | None:
    """Return the ids of the jobs with a name, the oldest first; None if the server does not answer."""
    found: set[str] = set()
    for history in (["-x"], []):
        answer = command(["qselect", *history, "-N", name], TIMEOUT_S)
        if answer is None or answer.returncode:
            return None
        found |= {line.strip() for line in answer.stdout.splitlines() if line.strip()}
        if _NO_HISTORY not in answer.stderr:
            break
    return sorted(found, key=lambda id: int(re.match(r"\d*", id)[0] or 0))  # type: ignore[index]


def largest_array() -> int:
    """Return how many tasks an array may have."""
    answer = command(["qstat", "-B", "-f", "-F", "json"], TIMEOUT_S)
    servers = _read(answer.stdout).get("Server", {}) if answer and answer.returncode == 0 else {}
    sizes = [int(server["max_array_size"]) for server in servers.values() if "max_array_size" in server]
    return max(1, min(sizes, default=_ARRAY))


def check_queue_limits(plan: Plan) -> None:
    """Refuse what the queue does not allow; PBS itself does not say which of its limits a job exceeds."""
    if not plan.partition or not shutil.which("qstat"):
        return
    answer = command(["qstat", "-Q", "-f", "-F", "json"], 5)
    if answer is None or answer.returncode:
        return  # PBS is silent; the submission will ask again
    queues: dict[str, dict[str, Any]] = _read(answer.stdout).get("Queue", {})
    queue = queues.get(plan.partition)
    if queue is None:
        if queues:
            print(
                f"launch: qstat lists no queue {plan.partition!r} ({nearest(plan.partition, queues)})", file=sys.stderr
            )
        return
    if str(queue.get("enabled", "True")) == "False":
        raise Refusal(f"queue {plan.partition} takes no jobs just now: name another with -p")
    most = queue.get("resources_max") or {}
    longest = walltime(most["walltime"]) if "walltime" in most else None
    if exceeds(plan.time_s, longest):
        raise Refusal(
            f"--time {limit_text(plan.time_s or 0)} is more than queue {plan.partition} allows "
            f"({limit_text(longest or 0)}): ask for less"
        )
    least = (queue.get("resources_min") or {}).get("nodect")
    if least is not None and plan.nodes < int(least):
        raise Refusal(
            f"--nodes {plan.nodes} is fewer than queue {plan.partition} takes ({least}): ask for more, or name another "
            "queue with -p"
        )
    if "nodect" in most and plan.nodes > int(most["nodect"]):
        raise Refusal(
            f"--nodes {plan.nodes} is more than queue {plan.partition} allows ({most['nodect']}): ask for fewer"
        )


def _jobs(text: str) -> dict[str, dict[str, Any]] | None:
    try:
        return json.loads(text, strict=False).get("Jobs", {})
    except (ValueError, AttributeError):
        return None


def _read(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
