"""The record of a job: what a scheduler is asked to run. It is written before the scheduler is asked, and completed
once that has answered.

A run or study keeps its jobs in ``jobs/<number>/``; later jobs have larger numbers. Only the launcher that holds the
lock of the run or study writes there. A job has a random token, by which it can be found at the scheduler if the answer
was lost.
"""

import dataclasses
import functools
import os
import re
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.plan.plan import Plan
from launch.record.contents import Event, JobRecord
from launch.record.files import Damaged, Unreadable, read_object
from launch.record.redact import without_secrets
from launch.record.rundir import RunDir
from launch.record.study import holder_of
from launch.record.writing import as_text, publish

FOLDER = "jobs"


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: what is derived from thousands of runs is kept
class Job:
    """What a scheduler runs for us.

    Parameters
    ----------
    folder : Path
        The job's folder: ``jobs/<number>`` in its run or study.
    backend : str
        Name of the scheduler.
    shape : str
        "run" (one run), "array" (each task is a run) or "pack" (the runs one after the other in one allocation).
    runs : tuple of str
        Folders of the runs within the holder: "." if the holder is the run. Task k of an array is the k-th.
    saves : bool
        Whether the ranks save and leave when they are asked to.
    name : str
        The name in the scheduler's own tools.
    after : tuple of str
        Ids of jobs that must have ended well before this one begins.
    behind : tuple of str
        Ids of jobs that must have ended, however, before this one begins.
    throttle : int, optional
        Maximum number of tasks of an array that run at once. For a pack on this machine (by default one) or in an
        allocation: maximum number of runs.
    detached : bool
        Whether it outlives its launcher even if jobs are processes of this machine.
    token : str
        The token by which the job can be found at the scheduler, and told from others with the same id.
    cluster : str
        What tells its scheduler from others that share this file system; empty if that is not known.
    made_for : str
        The path of the holder when the scheduler was asked, without links.
    state : str
        "asked" (the scheduler may have the job), "submitted" (it has the job, as `id`) or "refused" (it does not).
    id : str, optional
        The scheduler's name of the job.
    time : float
        When the scheduler was asked, Unix seconds.
    host : str
        The host of the launcher that asked.
    command : tuple of str
        The command line of that launcher, without secrets.
    plans : sequence of Plan
        Plans of its runs, in order; not part of the record.
    """

    folder: Path
    backend: str
    shape: str
    runs: tuple[str, ...]
    saves: bool
    name: str
    after: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    throttle: int | None = None
    detached: bool = False
    token: str = ""
    cluster: str = ""
    made_for: str = ""
    state: str = "asked"
    id: str | None = None
    time: float = 0.0
    host: str = ""
    command: tuple[str, ...] = ()
    plans: Sequence[Plan] = dataclasses.field(default=(), repr=False, compare=False)

    @property
    def number(self) -> int:
        """Number of the job among those of its holder, counted from 1."""
        return int(self.folder.name)

    @property
    def holder(self) -> Path:
        """The run or study that the job belongs to."""
        return self.folder.parent.parent

    @functools.cached_property
    def original(self) -> Path | None:
        """The run or study that made the job, if the holder is only a copy of that. A holder that was moved is not a
        copy: what it was moved from has no such record any more."""
        if not self.made_for or os.path.realpath(self.holder) == self.made_for:
            return None
        there = Path(self.made_for, FOLDER, self.folder.name)
        try:
            own, other = ((folder / "job.json").stat() for folder in (self.folder, there))
            # Two paths may lead to one folder. No copy has the times of the original's i-node.
            same = (own.st_ino, own.st_ctime_ns) == (other.st_ino, other.st_ctime_ns)
            return Path(self.made_for) if not same and read(there).token == self.token else None
        except (OSError, Unreadable):
            return None

    @property
    def script(self) -> Path:
        """The script for the scheduler."""
        return self.folder / "job.sh"

    @property
    def log(self) -> Path:
        """The output of the job without that of its ranks."""
        return RunDir(self.holder if self.shape == "run" else self.folder).job_log

    def run_dir(self, run: str) -> RunDir:
        """Return one of the job's runs."""
        return RunDir(self.holder / run)  # "." is the holder itself; its path stays as the user has spelled it

    @property
    def run_dirs(self) -> list[RunDir]:
        """The runs of the job, in order."""
        return [self.run_dir(run) for run in self.runs]

    @functools.cached_property
    def _tasks(self) -> dict[str, int]:
        return {run: task for task, run in enumerate(self.runs)}

    def handle(self, run: RunDir) -> str:
        """Return the scheduler's name for what makes a run: ``12``; for a task of an array ``12_3`` (Slurm),
        ``12[3].server`` (PBS)."""
        if self.shape != "array":
            return str(self.id)
        task = self._tasks[run.path.name]
        if self.backend == "slurm":
            return f"{self.id}_{task}"
        return str(self.id).replace("[]", f"[{task}]")  # elsewhere an array of one task is not an array

    def id_of(self, handle: str) -> str:
        """Return the job's id, from the name of one of its tasks."""
        return re.sub(r"\[\d+\]", "[]", handle) if self.backend != "slurm" else handle.partition("_")[0]

    def note_in(self, run: RunDir) -> Event | None:
        """Return the event in a run's records that refers to the job."""
        return next((event for event in run.events("submitted") if event.get("submission") == self.number), None)

    def ask(self, cluster: str = "") -> "Job":
        """Record that the scheduler is about to be asked, and on which cluster; return the job with its token."""
        asked = dataclasses.replace(
            self,
            token=f"rankloop-{os.urandom(16).hex()}",
            cluster=cluster,
            made_for=os.path.realpath(self.holder),
            time=round(time.time(), 3),
            host=socket.gethostname(),
            command=tuple(without_secrets(sys.orig_argv)),
        )
        asked._write()
        return asked

    def answered(self, id: str | None) -> "Job":
        """Record the scheduler's id of the job in its runs, then in the job's record; or, in the job's record, that the
        scheduler has refused it."""
        job = dataclasses.replace(self, id=id, state="submitted" if id else "refused")
        for run in job.run_dirs if id else ():
            if not run.is_missing and job.note_in(run) is None:
                run.append_event(
                    "submitted", backend=job.backend, job=job.handle(run), submission=job.number, command=job.command
                )
        job._write()
        return job

    def moved(self, cluster: str) -> "Job":
        """Record that the job's cluster is now known as another, as its controller has moved; return the job."""
        job = dataclasses.replace(self, cluster=cluster)
        job._write()
        return job

    def _write(self) -> None:
        fields = (field.name for field in dataclasses.fields(self) if field.name not in ("folder", "plans"))
        publish(self.folder / "job.json", as_text({name: getattr(self, name) for name in fields}), mode=0o600)


def next_folder(holder: Path) -> Path:
    """Return the folder for the next job of a run or study; it does not exist yet."""
    return holder / FOLDER / str(max(map(_number, _folders(holder)), default=0) + 1)


def of(holder: Path) -> list[Job]:
    """Return the jobs of a run or study, the latest last. A folder without a record is ignored: no scheduler was asked
    about it.

    Raises
    ------
    Unreadable
        If a record cannot be read, or is damaged.
    """
    folders = sorted(_folders(holder), key=_number)
    return [read(folder) for folder in folders if _has_record(folder)]


def latest(runs: Iterable[RunDir]) -> dict[Path, Job]:
    """Return the last job of each run that a scheduler got, or may have got; runs without one are left out."""
    runs = list(runs)
    jobs: dict[Path, Job] = {}
    for holder in dict.fromkeys(map(holder_of, runs)):
        for job in of(holder):
            if job.state != "refused":
                jobs |= {run.path: job for run in job.run_dirs}
    return {run.path: jobs[run.path] for run in runs if run.path in jobs}


def is_cancelled(run: RunDir, number: int | None) -> bool:
    """Return whether somebody has asked to end a run within the job with this number."""
    return any(event.get("submission") == number for event in run.events("cancelled"))


def _folders(holder: Path) -> list[Path]:
    return [path for path in (holder / FOLDER).glob("*") if path.name.isascii() and path.name.isdigit()]


def _number(folder: Path) -> int:
    return int(folder.name)


def _has_record(folder: Path) -> bool:
    try:
        return (folder / "job.json").exists()
    except OSError as error:  # the folder of another user's job cannot be entered
        raise Unreadable(folder / "job.json", error) from None


def read(folder: Path) -> Job:
    """Return the job of a folder.

    Raises
    ------
    Unreadable
        If its record cannot be read, or is damaged.
    """
    record = read_object(folder / "job.json", JobRecord)
    if record is None:
        raise Damaged(folder / "job.json", "it is not there")
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in record.items()
        if name in JobRecord.__annotations__
    }
    return Job(folder=folder, **known)
