"""The directory of a run: the one place that names its files."""

import contextlib
import itertools
import os
import time
from pathlib import Path
from typing import Any

from launch.errors import Refusal, command
from launch.plan.plan import Plan
from launch.record.contents import Event, PlanRecord, Result, Surroundings, TrainingRecord, World
from launch.record.files import Damaged, Unreadable, objects, read_json, read_object, read_whole
from launch.record.writing import append_line, refuse_full_disk

STATUS: dict[str, int] = {"done": 0, "failed": 1, "refused": 2, "stopped": 4, "cancelled": 4, "timeout": 4}
"""How an attempt can end, and the exit status for that."""


def _in_it(name: str) -> property:
    return property(lambda run: run.path / name)


class RunDir:
    """The files of a run."""

    __slots__ = ("path",)

    run_json = _in_it("run.json")
    patch = _in_it("code.patch")
    events_jsonl = _in_it("events.jsonl")
    env_json = _in_it("env.json")
    training_json = _in_it("training.json")
    result_json = _in_it("result.json")
    logs = _in_it("logs")
    failures = _in_it("failures")
    handles_warning = _in_it("meeting/handles_warning")  # exists once the program can be asked to leave
    world_json = _in_it("meeting/world.json")  # how many ranks the program's own library knew of at its end
    nodes = _in_it("meeting/nodes")  # the nodes of the attempt, if the job has more
    meeting = _in_it("meeting")  # what ranks tell each other before they can communicate: addresses, devices
    steps = _in_it("steps")
    readings = _in_it("readings")
    traces = _in_it("traces")
    checkpoints = _in_it("checkpoints")
    figures = _in_it("figures")
    tensorboard = _in_it("tensorboard")
    report = _in_it("report")
    stacks = _in_it("stacks")  # stacks of attempts that hung

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    @property
    def job_log(self) -> Path:
        """Output of the job script."""
        return self.logs / "job.log"

    def node_log(self, node: int) -> Path:
        """Return the file with the output of a node's ranks, each line labelled ``rank: ``."""
        return self.logs / f"node{node}.log"

    def node_steps(self, node: int) -> Path:
        """Return the file with the steps of a node's ranks."""
        return self.steps / f"node{node}.jsonl"

    def node_failures(self, node: int) -> Path:
        """Return the file with the failures of a node's ranks."""
        return self.failures / f"node{node}.jsonl"

    @property
    def sampler_errors(self) -> Path:
        """File with what the samplers print."""
        return self.readings / "errors.log"

    def rank_steps(self, rank: int) -> Path:
        """Return the file with the steps of one rank, for a program that does not write to the file of its node."""
        return self.steps / f"rank{rank}.jsonl"

    def node_readings(self, node: int, attempt: int) -> Path:
        """Return the file with the readings of a node in an attempt: lines of JSON while it is sampled, then Parquet
        under the same name."""
        return self.readings / f"node{node}-attempt{attempt}.jsonl"

    def reading_notes(self, node: int) -> Path:
        """Return the file that says what was read on a node and what could not be read, in lines of JSON."""
        return self.readings / f"node{node}.notes"

    def watched(self, attempt: int, node: int) -> Path:
        """Return the file with the last report of a node's watcher in an attempt."""
        return self.meeting / f"attempt{attempt}-watch{node}.json"

    def hang_json(self, attempt: int) -> Path:
        """Return the file that says why an attempt counted as hung, and which rank is behind; it exists only then."""
        return self.stacks / f"attempt{attempt}" / "hang.json"

    def node_stacks(self, attempt: int, node: int) -> Path:
        """Return the file with the stacks of a node's ranks when an attempt hung."""
        return self.stacks / f"attempt{attempt}" / f"node{node}.txt"

    def raw_trace(self, attempt: int, rank: int) -> Path:
        """Return the file with what TensorFlow's profiler saw on a rank, where TensorBoard looks for it."""
        return self.traces / "plugins" / "profile" / f"attempt{attempt}" / f"rank{rank}.xplane.pb"

    def timeline(self, attempt: int) -> Path:
        """Return the file with what Horovod recorded about its collectives."""
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
            with contextlib.suppress(FileExistsError):  # if a file is there, the next line reports that
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700)
            made = True
            self.make_folders()
            refuse_full_disk(self.path)
        except FileExistsError:
            raise Refusal(
                f"the run {self.path} exists already: give another --name, or continue it: "
                f"{command('resume', self.path)}"
            ) from None
        except OSError as error:
            if made:
                import shutil

                shutil.rmtree(self.path, ignore_errors=True)
            raise Refusal(
                f"cannot make the run {self.path} ({error.strerror}): give a folder that can be written to with --runs"
            ) from None

    def make_folders(self) -> None:
        """Make the folders that the ranks of an attempt write to, if they do not exist yet."""
        for folder in (self.logs, self.failures, self.meeting, self.steps, self.checkpoints):
            folder.mkdir(exist_ok=True)

    @classmethod
    def open(cls, path: Path | str) -> "RunDir":
        """Open an existing run.

        Raises
        ------
        Refusal
            If there is no run in that folder, or it cannot be entered.
        """
        run = cls(path)
        try:
            os.stat(run.run_json)
        except (FileNotFoundError, NotADirectoryError):
            raise Refusal(f"{path} is not a run: it has no run.json; give the folder of a run") from None
        except OSError as error:
            raise Unreadable(run.run_json, error) from None
        return run

    @property
    def is_missing(self) -> bool:
        """Whether nothing is left of a run that is in the index of a study."""
        try:
            return not os.listdir(self.path)
        except FileNotFoundError:
            return not os.path.lexists(self.path)
        except OSError:  # it is not a folder, or cannot be entered
            return False

    def refuse_files_of_others(self) -> None:
        """Make sure that nobody else has put anything into the run, because its files are executed and trusted.

        Raises
        ------
        Refusal
            If the directory or something in it, including links themselves, belongs to another user.
        """
        inner = (
            os.path.join(folder, name) for folder, *names in os.walk(self.path) for name in itertools.chain(*names)
        )
        for path in itertools.chain([self.path], inner):
            with contextlib.suppress(FileNotFoundError):  # a temporary file, published meanwhile
                if (owner := os.lstat(path).st_uid) != os.geteuid():
                    raise Refusal(
                        f"{path} belongs to user {owner}, and you are {os.geteuid()}: a run is gone on with by who "
                        "has started it, and holds files of nobody else; remove it if you trust the rest, or start a "
                        "run of your own"
                    )

    def append_event(self, event: str, **values: Any) -> None:
        """Add a line to events.jsonl, with the time (Unix seconds)."""
        append_line(self.events_jsonl, {"event": event, "time": round(time.time(), 3), **values})

    def events(self, kind: str | None = None) -> list[Event]:
        """Return the events so far, of one kind or all; damaged lines are skipped.

        Raises
        ------
        Unreadable
            If the file cannot be read.
        """
        try:
            lines = read_whole(self.events_jsonl).split(b"\n")
        except FileNotFoundError:
            return []
        events: list[Event] = list(objects(lines, Event))
        whole = (event for event in events if event["event"] != "ended" or "outcome" in event)
        return [event for event in whole if kind in (None, event["event"])]

    def attempts(self) -> int:
        """Return how many attempts have begun, which is the number of the last one."""
        return len(self.events("started"))

    def plan(self) -> Plan:
        """Return the plan, with which to start the run.

        Raises
        ------
        Unreadable
            If it cannot be read.
        Refusal
            If it is from a version of the toolkit that does not fit.
        """
        return Plan.from_json(read_json(self.run_json))

    def record(self) -> PlanRecord:
        """Return the content of run.json, for display; also of a run of another version of the toolkit.

        Raises
        ------
        Unreadable
            If it does not exist, cannot be read, or is not the plan of a run.
        """
        if (record := read_object(self.run_json, PlanRecord)) is None:
            raise Damaged(self.run_json, "it is not there")
        return record

    def surroundings(self) -> Surroundings:
        """Return the content of env.json; empty before the first attempt."""
        return read_object(self.env_json, Surroundings) or {}

    def training(self) -> TrainingRecord | None:
        """Return the content of training.json, or None before a training has begun."""
        return read_object(self.training_json, TrainingRecord)

    def result(self) -> Result | None:
        """Return the content of result.json, or None while the run has not finished."""
        return read_object(self.result_json, Result)

    def world(self) -> World | None:
        """Return how many ranks the program's own library knew of, or None if that is unknown."""
        return read_object(self.world_json, World)
