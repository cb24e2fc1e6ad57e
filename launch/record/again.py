"""Jobs that were submitted again from within, by schedulers that put no job back into the queue themselves.

When the launcher submits a job, it leaves the command for that in the job's folder; the job itself runs it, and notes
the new job's id there. All count as one job of the run, under the number of the first.
"""

from collections.abc import Sequence
from pathlib import Path

from launch.record.files import read_json, read_lines
from launch.record.job import Job
from launch.record.rundir import RunDir
from launch.record.study import holder_of
from launch.record.writing import append_line, publish_json


def allow(job: Job, words: Sequence[str]) -> None:
    """Leave the command with which a run of the job can be submitted again; the task's number follows its words."""
    publish_json(job.folder / "again.json", {"words": list(words)})


def forbid(job: Job, run: RunDir) -> None:
    """Forbid submitting the job of this run again, because somebody is ending it."""
    run.meeting.mkdir(exist_ok=True)
    _ending(run, job.number).touch()


def command(run: RunDir, number: int) -> list[str] | None:
    """Return the command that submits the job of a run again; None if that is forbidden."""
    folder = _folder(run, number)
    if _ending(run, number).exists() or (kept := read_json(folder / "again.json")) is None:
        return None
    runs = read_json(folder / "job.json").get("runs", [])
    return [*kept["words"], str(runs.index(run.path.name) if run.path.name in runs else 0)]


def note(run: RunDir, number: int, id: str) -> None:
    """Record the id of the job that continues a run."""
    append_line(_folder(run, number) / "again.jsonl", {"run": str(run.path), "id": id})


def ids(job: Job) -> dict[Path, str]:
    """Return, by run, the id of the job that continues it, if that is not the first one."""
    return {Path(line["run"]): line["id"] for line in read_lines(job.folder / "again.jsonl")}


def _folder(run: RunDir, number: int) -> Path:
    return holder_of(run) / "jobs" / str(number)


def _ending(run: RunDir, number: int) -> Path:
    return run.meeting / f"ending{number}"
