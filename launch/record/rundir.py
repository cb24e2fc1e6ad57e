"""The directory of a run: the one place that names its files, and the only ways they are written.

A file is either published whole, by rename, or appended to in whole lines; so it can be read after a kill at any moment.
"""

import contextlib
import errno
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch.errors import Refusal

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


def publish(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a whole file or none: into a temporary file beside it, to the disk, then by rename."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def publish_json(path: Path, value: Any) -> None:
    """Publish a value as JSON that can be read by people too."""
    publish(path, as_text(value))


def as_text(value: Any) -> str:
    """A value as JSON, with a line for each key, and for each of the tables in a list."""
    if not isinstance(value, dict):
        return _encode(value) + "\n"
    lines = ",\n".join(f" {_encode(str(name))}: {_a_line_each(inner)}" for name, inner in value.items())
    return f"{{\n{lines}\n}}\n"


_encode = json.JSONEncoder(default=str).encode  # indented, it would be written in Python, ten times as slowly


def _a_line_each(value: Any) -> str:
    if not (isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value)):
        return _encode(value)
    return "[\n" + ",\n".join(f"  {_encode(inner)}" for inner in value) + "\n ]"


def refuse_full_disk(folder: Path) -> None:
    """Make sure that there is some room: a full disk lets directories be made and files be opened; only a write shows it.

    Raises
    ------
    OSError
        If there is none.
    """
    publish(folder / ".room", b"\0" * 65536)
    (folder / ".room").unlink()


def to_disk(folder: Path) -> None:
    """Have all that was written to the file system of a folder on the disk: one wait, where many files would take one each.

    Raises
    ------
    OSError
        If something could not be written.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Append one line of JSON in a single write, so that lines of several processes of a node do not mix.

    Raises
    ------
    OSError
        If the disk is full; the line may then be there in part.
    """
    # In ASCII, as a path or a program's words may hold bytes that are no UTF-8.
    line = (json.dumps(value, default=str) + "\n").encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # a kill has cut the last line short: it must not take this one with it
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """The value in a JSON file, or None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Refusal(
            f"{path} is damaged ({error}): move it away, or start the run anew under another --name"
        ) from None


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The values of a file of JSON lines; a line that a kill has cut short is passed over."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.split("\n"):  # not splitlines, which also ends lines at characters that JSON lets stand
        with contextlib.suppress(ValueError):
            yield json.loads(line)
