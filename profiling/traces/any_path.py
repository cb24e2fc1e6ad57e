"""Traces of programs that this project did not launch, by their path, as a document like that of a run."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.record.rundir import RunDir
from profiling.traces import kineto, parts, timeline, xplane
from profiling.traces.document import of_timeline, shares

_XPLANE, _KINETO = "*.xplane.pb", ("*.json", "*.json.gz")
_WINDOW = re.compile(r"\.\d+(?=\.pt\.trace\.json)")  # the time in the name of a trace of PyTorch: <process>.<time>
_RANK = re.compile(r"(?<![a-z])rank[-_]?(\d{1,9})", re.IGNORECASE)
GIVE = "give a run, a file .xplane.pb, a log folder of TensorBoard, a trace of PyTorch, or a timeline of Horovod"


def is_run(path: Path) -> bool:
    """Return whether a path is that of a run, and not of a trace."""
    if not path.exists() and not path.name.endswith((".pb", ".json", ".gz")):
        return True
    return RunDir(path).run_json.is_file() or path.is_dir() and not _files(path)[0]


def document(path: Path) -> dict[str, Any]:
    """Return what a trace says, or all traces of the last session in a folder.

    The rank of a trace is the one that it says, else that in the name of its file, else the place of its process.

    Raises
    ------
    Refusal
        If the format is not known, or nothing of it can be read.
    """
    files, notes = _files(path) if path.is_dir() else ([path], [])
    processes = list(dict.fromkeys(map(_process, files)))
    ranks: list[dict[str, Any]] = []
    refusals: list[Refusal] = []
    timelines = None
    for file in files:
        try:
            read = _read(file)
        except Refusal as refusal:
            reason = str(refusal)
            refusals.append(refusal if str(file) in reason else Refusal(f"{file}: {reason}"))
            continue
        if "tensors" in read:
            timelines = read
            continue
        by_place = ""
        if read["rank"] is None:
            read["rank"] = processes.index(_process(file))
            by_place = ", by its place, as it does not say its rank" if len(processes) > 1 else ""
        notes.append(f"rank {read['rank']} is {file.name}{by_place}; steps: {read.pop('how')}")
        ranks.append({"file": file.name, **read})
    if not ranks and timelines is None:
        raise refusals[0]
    notes += [f"left out: {refusal}" for refusal in refusals]
    ranks.sort(key=lambda rank: rank["rank"])
    return {"run": str(path), "attempt": None, "ranks": ranks, "timeline": timelines, "notes": notes}


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the traces of the last session in a folder, a file for each host, and notes on what was not read."""
    sessions = sorted({file.parent for file in folder.glob(f"**/plugins/profile/*/{_XPLANE}")}, key=_session)
    if sessions:
        notes = [f"the last of {len(sessions)} sessions: {sessions[-1]}"] if len(sessions) > 1 else []
        return sorted(sessions[-1].glob(_XPLANE)), notes
    found = (file for pattern in _KINETO for file in folder.glob(pattern) if kineto.is_trace(file))
    return sorted([*folder.glob(_XPLANE)] or found), []


def _session(folder: Path) -> tuple[list[str | int], float]:
    """Return by what sessions are sorted: the time or number that is their name, then when they were written."""
    parts = re.split(r"(\d+)", folder.name)
    return [int(part) if part.isdecimal() else part for part in parts], folder.stat().st_mtime


def _process(file: Path) -> str:
    """Return what is common to the names of a process's traces; PyTorch writes one for each window of steps."""
    return _WINDOW.sub("", file.name)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise Refusal(f"there is no {file}: {GIVE}")
    if file.name.endswith(".pb"):
        return _rank(file, None, xplane.read(file, of_others=True))
    if not file.name.endswith((".json", ".json.gz")):
        raise Refusal(f"{file} is no trace that is known: {GIVE}")
    if file.name.endswith(".gz") or b"traceEvents" in file.read_bytes():
        content = kineto.document(file)
        if kineto.is_kineto(content):
            return _rank(file, kineto.rank(content), kineto.capture(file, content))
        raise Refusal(f"{file} is a trace, but neither of PyTorch nor of Horovod: {GIVE}")
    return of_timeline(timeline.read(file), [])


def _rank(file: Path, rank: int | None, capture: xplane.Capture) -> dict[str, Any]:
    """Return the trace of a rank; the rank is None where neither the trace nor the name of its file says it."""
    table, how = parts.of_any(capture)
    if rank is None and (named := _RANK.search(file.name)):
        rank = int(named[1])
    return {"rank": rank, "attempt": None, **asdict(table), **shares(table.steps), "how": how}
