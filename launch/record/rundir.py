"""The directory of a run: the one place that names its files."""

import contextlib
import itertools
import os
import shutil
import time
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.record.files import append_line, read_json, read_lines, refuse_full_disk

STATUS = {"done": 0, "failed": 1, "refused": 2, "stopped": 4, "cancelled": 4, "timeout": 4}
"""How an attempt can end, and the exit status that says so."""


def _in_it(name: str) -> property:
    return property(lambda run: run.path / name)


class RunDir:
    """The files of a run."""

    __slots__ = ("path",)

    run_json = _in_it("run.json")
    script = _in_it("job.sh")
    submission = _in_it("submission.json")  # what Slurm is asked for, before it answers
    patch = _in_it("code.patch")
    events_jsonl = _in_it("events.jsonl")
    env_json = _in_it("env.json")
    training_json = _in_it("training.json")
    result_json = _in_it("result.json")
    logs = _in_it("logs")
    failures = _in_it("failures")
    handles_warning = _in_it("meeting/handles_warning")  # there once the program has called launch.node.stop.install
    meeting = _in_it("meeting")  # what ranks tell each other before they can talk: addresses, devices
    steps = _in_it("steps")
    readings = _in_it("readings")
    traces = _in_it("traces")
    checkpoints = _in_it("checkpoints")
    figures = _in_it("figures")
    tensorboard = _in_it("tensorboard")
    report = _in_it("report")

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    @property
    def job_log(self) -> Path:
        """Output of the job script."""
        return self.logs / "job.log"

    def node_log(self, node: int) -> Path:
        """Output of the ranks of a node, each line labelled ``rank: ``."""
        return self.logs / f"node{node}.log"

    def node_readings(self, node: int, attempt: int) -> Path:
        """Readings of a node in an attempt: lines while it is read, then Parquet under the same name."""
        return self.readings / f"node{node}-attempt{attempt}.jsonl"

    def reading_notes(self, node: int) -> Path:
        """What was read on a node and what could not be, in lines of JSON."""
        return self.readings / f"node{node}.notes"

    def raw_trace(self, attempt: int, rank: int) -> Path:
        """What TensorFlow's profiler saw on a rank, where TensorBoard looks for it."""
        return self.traces / "plugins" / "profile" / f"attempt{attempt}" / f"rank{rank}.xplane.pb"

    def timeline(self, attempt: int) -> Path:
        """What Horovod noted of its collectives."""
        return self.traces / f"horovod{attempt}.json"

    def create(self) -> None:
        """Make the directory and the folders in it, mode 0700.

        Raises
        ------
        Refusal
            If it exists, cannot be made, or there is no room for it.
        """
        made = False
        try:
            with contextlib.suppress(FileExistsError):  # a file there makes the next line say that it is no directory
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700)
            made = True
            self.make_folders()
            refuse_full_disk(self.path)
        except FileExistsError:
            raise Refusal(
                f"the run {self.path} exists already: give another --name, or go on with it: python -m launch resume {self.path}"
            ) from None
        except OSError as error:
            if made:
                shutil.rmtree(self.path, ignore_errors=True)
            raise Refusal(
                f"cannot make the run {self.path} ({error.strerror}): give a folder that can be written to with --runs"
            ) from None

    def make_folders(self) -> None:
        """Make those folders in it that the ranks of an attempt write to, where they are not there yet."""
        for folder in (self.logs, self.failures, self.meeting, self.steps, self.checkpoints):
            folder.mkdir(exist_ok=True)

    @classmethod
    def open(cls, path: Path | str) -> "RunDir":
        """An existing run.

        Raises
        ------
        Refusal
            If there is no run in that folder.
        """
        run = cls(path)
        if not run.run_json.is_file():
            raise Refusal(f"{path} is not a run: it has no run.json; give a folder that python -m launch has made")
        return run

    def refuse_files_of_others(self) -> None:
        """Make sure that nobody else has put anything into the run, as what lies in it is executed and trusted.

        Raises
        ------
        Refusal
            If the directory or something in it, links themselves included, belongs to another user.
        """
        inner = (
            os.path.join(folder, name) for folder, *names in os.walk(self.path) for name in itertools.chain(*names)
        )
        for path in itertools.chain([self.path], inner):
            with contextlib.suppress(FileNotFoundError):  # a temporary file, published meanwhile
                if (owner := os.lstat(path).st_uid) != os.geteuid():
                    raise Refusal(
                        f"{path} belongs to user {owner}, and you are {os.geteuid()}: a run is gone on with by who has started "
                        "it, and holds files of nobody else; remove it if you trust the rest, or start a run of your own"
                    )

    def append_event(self, event: str, **values: Any) -> None:
        """Add a line to events.jsonl, with the time (Unix seconds)."""
        append_line(self.events_jsonl, {"event": event, "time": round(time.time(), 3), **values})

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The events so far, of one kind or all."""
        return [e for e in read_lines(self.events_jsonl) if kind in (None, e.get("event"))]

    def result(self) -> dict[str, Any] | None:
        """What result.json says, or None while the run has not finished."""
        return read_json(self.result_json)
