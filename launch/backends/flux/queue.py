"""Asks Flux for the states of jobs."""

import json
import os
import re
from collections.abc import Iterable
from typing import Any

from launch.backends.commands import command
from launch.backends.scheduler import ENDED, QUEUED, RUNNING, Answer, Status, marks

SILENT = r"Unable to connect|Connection refused|broker socket|Connection reset|lost connection|timed out"
"""What Flux's commands say when the broker does not answer."""

TIMEOUT_S = 20.0  # Flux's own commands wait for ever

_WAITING = ("DEPEND", "PRIORITY", "SCHED")
_OUTCOMES = {"CANCELED": "cancelled", "TIMEOUT": "timeout"}
_UNKNOWN = r"(?i)unknown|not found"


def words(*rest: str) -> list[str]:
    """Return a command of Flux. Within a job it asks the instance around the job, because the job's own instance ends
    with it."""
    return ["flux", *(["--parent"] if "FLUX_ENCLOSING_ID" in os.environ else []), *rest]


def ask(ids: Iterable[str]) -> Answer:
    """Return what Flux reports about jobs. A job that a restarted broker has forgotten is left out."""
    ids = sorted(set(ids))
    if not ids:
        return Answer({})
    answer = command(words("jobs", "--json", *ids), TIMEOUT_S)
    if answer is None:
        return Answer({}, f"no answer to flux jobs within {TIMEOUT_S:.0f} s, or no flux here")
    if answer.returncode and not re.search(_UNKNOWN, answer.stderr):
        said = answer.stderr.strip().splitlines() or [f"flux jobs: exit status {answer.returncode}"]
        return Answer({}, said[-1])
    jobs = _read(answer.stdout)
    if jobs is None and answer.returncode and len(ids) > 1:  # it may say nothing about the others
        each = [ask([id]) for id in ids]
        statuses = {id: status for one in each for id, status in one.statuses.items()}
        return Answer(statuses, next((one.silence for one in each if one.silence), ""))
    return Answer({str(job["id"]): status(job) for job in jobs or [] if "id" in job})


def status(job: dict[str, Any]) -> Status:
    """Return the status of a job, from what flux jobs says about it."""
    return _status(job)._replace(marks=marks(str(job.get("name", ""))))


def _status(job: dict[str, Any]) -> Status:
    state, exception = str(job.get("state", "")), job.get("exception") or {}
    nodes = str(job.get("nodelist", ""))
    if state in _WAITING:
        held = state == "SCHED" and job.get("urgency") == 0
        reason = "held" if held else ", ".join(map(str, job.get("dependencies") or [])) if state == "DEPEND" else ""
        return Status(QUEUED, {"DEPEND": "DEPENDENT", "SCHED": "QUEUED"}.get(state, state), reason, nodes)
    if state != "INACTIVE":
        return Status(RUNNING, "RUNNING" if state == "RUN" else state, "", nodes)
    result, note = str(job.get("result", "")), str(exception.get("note", ""))
    kind = exception.get("type") if exception.get("occurred") else None
    if kind == "dependency":
        return Status(ENDED, "DEPENDENCY FAILED", note, nodes, "cancelled")
    if result == "COMPLETED":
        return Status(ENDED, "COMPLETED", "", nodes)
    word = note.upper() if kind == "exec" and "node failure" in note else result
    if not kind and "returncode" in job:
        word = f"EXIT STATUS {job['returncode']}"
    return Status(ENDED, word or "ENDED", note, "" if note else nodes, _OUTCOMES.get(result))


def answers() -> bool:
    """Return whether the broker answers."""
    answer = command(words("jobs", "-no", "{id.dec}"), TIMEOUT_S)
    return answer is not None and answer.returncode == 0


def by_name(name: str) -> list[str] | None:
    """Return the ids of the jobs with a name, the oldest first; None if the broker does not answer."""
    answer = command(words("jobs", "-a", f"--name={name}", "-no", "{id.dec}"), TIMEOUT_S)
    if answer is None or answer.returncode:
        return None
    return sorted(answer.stdout.split(), key=lambda id: int(id) if id.isdigit() else 0)


def decimal(id: str) -> str:
    """Return the id as a decimal number, which every file system and every command takes."""
    if id.isdigit():
        return id
    answer = command(["flux", "job", "id", "--to=dec", id], TIMEOUT_S)
    return answer.stdout.strip() if answer is not None and answer.returncode == 0 else id


def _read(text: str) -> list[dict[str, Any]] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    jobs = value.get("jobs", [value]) if isinstance(value, dict) else []  # a single job is printed without a list
    return [job for job in jobs if isinstance(job, dict)]
