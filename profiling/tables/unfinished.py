"""Rows that say of themselves that they are not measurements: runs that failed or still run, and the steps of jobs."""

import re
from collections.abc import Sequence
from dataclasses import replace

from launch.errors import Refusal
from profiling import text
from profiling.tables import names, numbers
from profiling.tables.grid import Grid, empty

_STATES = ("state", "status", "outcome", "result", "exit status", "job state")
_CODES = ("exit code", "exitcode", "exit status", "rc", "ret", "return code", "returncode", "retcode", "status")
_GOOD = (
    "success",
    "succeeded",
    "successful",
    "ok",
    "valid",
    "verified",
    "converged",
    "completed",
    "finished",
    "passed",
)
_BAD = ("oom", "out of memory", "failed", "failure", "timeout", "timed out", "crashed", "killed", "aborted", "diverged")
_REMARKS = ("note", "notes", "comment", "comments", "remark", "remarks", "bemerkung", "bemerkungen")

_YES = re.compile(r"true|yes|y|t|1|1\.0|ja|✓|✔|✅|☑|pass|passed|ok", re.IGNORECASE)
_NO = re.compile(r"false|no|n|f|0|0\.0|nein|✗|✘|❌|✖|❎|x", re.IGNORECASE)
_UNSAID = re.compile(r"[-–—/.?\s]*|n/?a", re.IGNORECASE)
_CODE = re.compile(r"-?\d+(:\d+|\.0)?")  # 137, 0:9, and 137.0 as pandas prints it where a cell is empty
_FINE = re.compile(r"0(:0|\.0)?")
_NOT_YET = re.compile(r"(running|pending|queued|suspended|requeued|preempted|revoked|resizing)\b.*", re.IGNORECASE)
_SLURM = re.compile(r"TO|F|OOM|CA|NF|PR|DL|BF|R|PD|S|RV|RQ|RS|ST")  # as sacct abbreviates what is not completed
_GAVE_UP = re.compile(
    r"((run|job|was|it|got|has)\s+)*(oom|out[ -]of[ -]mem\w*|fail(ed|ure)|crash(ed)?|timed? ?out|time limit|"
    r"killed|abort(ed)?|hung|segfault|segmentation fault|cancel\w+|diverged?|did not (run|finish|complete|converge)|"
    r"node[ _]fail\w*|abgebrochen|fehlgeschlagen)"
    r"(?=\s*([(,;.:!\d]|$|(after|at|by|during|due|because|in|on|to|with)\b)).*",
    re.IGNORECASE,
)
_JOBS = ("jobid", "job id", "jobidraw")
_STEP = re.compile(r"\d+(?:[_+]\d+)?\.\w+")  # 1234.batch, 1234_5.0: Slurm's names for the parts of a job


def left_out(grid: Grid) -> Grid:
    """Return a grid without rows of runs that did not finish and of steps of jobs; its notes say which these are.

    Steps are the lines that ``sacct`` adds below each job (without ``-X``): the nodes and the time in them are parts of
    those of the job. They are kept where a table has nothing else.

    Raises
    ------
    Refusal
        If some rows have the status 0 and some 1, of which either may be that of a failed run.
    """
    named = [re.sub(r"[\s_]+", " ", names.plain(name)).lower() for name in grid.header]
    notes = list(grid.notes)
    job = next((place for place, name in enumerate(named) if name in _JOBS), None)
    steps = [row for row in grid.rows if job is not None and _STEP.fullmatch(str(row.cells[job] or "").strip())]
    if steps and len(steps) < len(grid.rows):
        notes.append(f"left out: {text.plural(len(steps), 'line')} of steps of jobs, from {steps[0].where} on")
    else:
        steps = []
    rows = [row for row in grid.rows if row not in steps]
    failed: dict[str, str] = {}  # where a row is -> what says that it failed
    for place, name in enumerate(named):
        cells = ["" if empty(row.cells[place]) else str(row.cells[place]).strip() for row in rows]
        for row, cell, fails in zip(rows, cells, _failures(name, cells)):
            if fails:
                failed.setdefault(row.where, f"left out: {row.where}: {grid.header[place]} is {cell}")
    notes += [failed[row.where] for row in rows if row.where in failed]
    return replace(grid, rows=tuple(row for row in rows if row.where not in failed), notes=tuple(notes))


def _failures(name: str, cells: Sequence[str]) -> list[bool]:
    """Return for each cell of a column whether it says that its run failed or was not finished."""
    there = {cell for cell in cells if not _UNSAID.fullmatch(cell)}
    if name == "status" and there == {"0", "1"}:
        raise Refusal("has the status 0 in some rows and 1 in others: write ok and failed, or remove the failed ones")
    # 1000 completed requests are no answer to the question whether a run completed.
    answers = bool(there) and all(_YES.fullmatch(cell) or _NO.fullmatch(cell) or _state(cell) for cell in there)
    by_code = name in _CODES and (name != "status" or any(map(_FINE.fullmatch, there)))
    return [
        cell in there
        and (
            name in _STATES and (_state(cell) or "stat" in name and bool(_SLURM.fullmatch(cell)))
            or by_code and bool(_CODE.fullmatch(cell)) and not _FINE.fullmatch(cell)
            or name in _GOOD and answers and not _YES.fullmatch(cell)
            or name in _BAD and answers and bool(_YES.fullmatch(cell))
            or name in _REMARKS and bool(_GAVE_UP.fullmatch(cell))
        )
        for cell in cells
    ]  # fmt: skip


def _state(cell: str) -> bool:
    words = cell.replace("_", " ")
    return bool(
        numbers.FAILED.fullmatch(words) or _NOT_YET.fullmatch(words) or re.fullmatch(r"[✗✘❌✖❎]\ufe0f?.*", cell)
    )
