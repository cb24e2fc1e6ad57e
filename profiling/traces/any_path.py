"""Traces of programs that this project did not launch, by their path, as a document like that of a run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.record.rundir import RunDir
from profiling.traces import kineto, parts, timeline, xplane
from profiling.traces.document import of_timeline, shares

_XPLANE, _KINETO = "*.xplane.pb", ("*.pt.trace.json", "*.pt.trace.json.gz")
GIVE = "give a run, a file .xplane.pb, a log folder of TensorBoard, a trace of PyTorch, or a timeline of Horovod"


def is_run(path: Path) -> bool:
    """Return whether a path is that of a run, and not of a trace."""
    if not path.exists() and not path.name.endswith((".pb", ".json", ".gz")):
        return True
    return RunDir(path).run_json.is_file() or path.is_dir() and not _files(path)


def document(path: Path) -> dict[str, Any]:
    """Return what a trace says, or all traces of the last session in a folder.

    Raises
    ------
    Refusal
        If the format is not known, or nothing of it can be read.
    """
    files = _files(path) if path.is_dir() else [path]
    ranks: list[dict[str, Any]] = []
    refusals: list[Refusal] = []
    notes, timelines = [], None
    for place, file in enumerate(files):
        try:
            read = _read(file, place)
        except Refusal as refusal:
            reason = str(refusal)
            refusals.append(refusal if str(file) in reason else Refusal(f"{file}: {reason}"))
            continue
        if "tensors" in read:
            timelines = read
            continue
        notes.append(f"rank {read['rank']} is {file.name}; steps: {read.pop('how')}")
        ranks.append(read)
    if not ranks and timelines is None:
        raise refusals[0]
    notes += [f"left out: {refusal}" for refusal in refusals]
    ranks.sort(key=lambda rank: rank["rank"])
    return {"run": str(path), "attempt": None, "ranks": ranks, "timeline": timelines, "notes": notes}


def _files(folder: Path) -> list[Path]:
    """Return the traces of the last session in a folder, a file for each host."""
    sessions = sorted({file.parent for file in folder.glob(f"**/plugins/profile/*/{_XPLANE}")})
    found = [*sessions[-1].glob(_XPLANE)] if sessions else [*folder.glob(_XPLANE)]
    return sorted(found or (file for pattern in _KINETO for file in folder.glob(pattern)))


def _read(file: Path, place: int) -> dict[str, Any]:
    if not file.is_file():
        raise Refusal(f"there is no {file}: {GIVE}")
    if file.name.endswith(".pb"):
        return _rank(place, xplane.read(file, of_others=True))
    if not file.name.endswith((".json", ".json.gz")):
        raise Refusal(f"{file} is no trace that is known: {GIVE}")
    if file.name.endswith(".gz") or b"traceEvents" in file.read_bytes():
        content = kineto.document(file)
        if kineto.is_kineto(content):
            return _rank(kineto.rank(content), kineto.capture(file, content))
        raise Refusal(f"{file} is a trace, but neither of PyTorch nor of Horovod: {GIVE}")
    return of_timeline(timeline.read(file), [])


def _rank(rank: int, capture: xplane.Capture) -> dict[str, Any]:
    table, how = parts.of_any(capture)
    return {"rank": rank, "attempt": None, **asdict(table), **shares(table.steps), "how": how}
