"""Rows that say of themselves that they are not measurements: runs that failed or still run, and the steps of jobs."""

import re
from collections.abc import Sequence
from dataclasses import replace

from profiling import text
from profiling.tables import names
from profiling.tables.cells import numbers
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
_SHORT = ("rc", "ret", "status")  # codes only beside a 0: rc may be a radius, and a status that of a request
_REMARKS = ("note", "notes", "comment", "comments", "remark", "remarks", "bemerkung", "bemerkungen")

_YES = re.compile(r"true|yes|y|t|1|1\.0|ja|✓|✔|✅|☑|pass|passed|ok", re.IGNORECASE)
_NO = re.compile(r"false|no|n|f|0|0\.0|nein|✗|✘|❌|✖|❎|x", re.IGNORECASE)
_UNSAID = re.compile(r"[-–—/.?\s]*|n/?a", re.IGNORECASE)
_CODE = re.compile(r"-?\d+(:\d+|\.0)?")  # 137, 0:9, and 137.0 as pandas prints it where a cell is empty
_FINE = re.compile(r"0(:0|\.0)?")
_ONE = re.compile(r"1(\.0)?")
_NOT_YET = re.compile(r"(running|pending|queued|suspended|requeued|preempted|revoked|resizing)\b.*", re.IGNORECASE)
_SLURM = re.compile(r"TO|F|OOM|CA|NF|PR|DL|BF|R|PD|S|RV|RQ|RS|ST")  # as sacct abbreviates what is not completed
_GAVE_UP = re.compile(
    r"((run|job|was|it|got|has)\s+)*(oom|out[ -]of[ -]mem\w*|fail(ed|ure)|crash(ed)?|timed? ?out|time limit|"
    r"killed|abort(ed)?|hung|segfault|segmentation fault|cancel\w+|diverged?|did not (run|finish|complete|converge)|"
    r"node[ _]fail\w*|abgebrochen|fehlgeschlagen)"
    # What follows is a reason, or a number with its unit: "timeout (s) 100" and "timeout: 100" say what was set.
    r"(?=\s*([(\[][^()\[\]]*[)\]]\s*)?"
    r"($|[,;.:!](?!\s*\d+$)|\d[\d.]*\s*[^\W\d]|(after|at|by|during|due|because|in|on|to|with)\b)).*",
    re.IGNORECASE,
)
_MENDED = re.compile(
    r"\b(ok|okay|fine|fixed|passed|succeeded|successful|worked|re-?r[ua]n|retr(y|ied)|repeated|redone|resumed|"
    r"restarted|(1st|first) (try|attempt|run|time))\b",
    re.IGNORECASE,
)
_JOBS = ("jobid", "job id", "jobidraw")
_STEP = re.compile(r"\d+(?:[_+]\d+)?\.\w+")  # 1234.batch, 1234_5.0: Slurm's names for the parts of a job


def left_out(grid: Grid) -> Grid:
    """Return a grid without rows of runs that did not finish and of steps of jobs; its notes say which these are.

    Steps are the lines that ``sacct`` adds below each job (without ``-X``): the nodes and the time in them are parts of
    those of the job. They are kept where a table has nothing else. What need not say that a run failed is noted.
    """
    named = [re.sub(r"[\s_]+", " ", names.plain(name)).lower() for name in grid.header]
    notes = list(grid.notes)
    job = next((place for place, name in enumerate(named) if name in _JOBS), None)
    parts = [job is not None and bool(_STEP.fullmatch(str(row.cells[job] or "").strip())) for row in grid.rows]
    rows = [row for row, is_part in zip(grid.rows, parts) if not is_part] or list(grid.rows)
    if len(rows) < len(grid.rows):
        first = grid.rows[parts.index(True)]
        notes.append(f"left out: {text.plural(sum(parts), 'line')} of steps of jobs, from {first.where} on")
    failed: dict[str, str] = {}  # where a row is -> what says that it failed
    for place, name in enumerate(named):
        cells = ["" if empty(row.cells[place]) else str(row.cells[place]).strip() for row in rows]
        unclear = _unclear(name, cells)
        if unclear:
            seen = " or ".join(unclear[:2])
            notes.append(
                f"{grid.header[place]} is {seen}: this need not say that a run failed; no row is left out for it"
            )
        for row, cell, fails in zip(rows, cells, _failures(name, cells)):
            if fails and cell not in unclear:
                failed.setdefault(row.where, f"left out: {row.where}: {grid.header[place]} is {cell}")
    notes += [failed[row.where] for row in rows if row.where in failed]
    return replace(grid, rows=tuple(row for row in rows if row.where not in failed), notes=tuple(notes))


def _unclear(name: str, cells: Sequence[str]) -> list[str]:
    """Return the different cells of a column that say that a run failed only in one of their senses."""
    there = list(dict.fromkeys(cell for cell in cells if not _UNSAID.fullmatch(cell)))
    codes = [cell for cell in there if _CODE.fullmatch(cell) and not _FINE.fullmatch(cell)]
    if name == "status" and codes and all(_ONE.fullmatch(cell) or _FINE.fullmatch(cell) for cell in there):
        return there  # 1 may be success
    if name in _SHORT and len(codes) == len(there):
        return there
    if name in _BAD and all(map(_ONE.fullmatch, cells)):
        return there  # a timeout of 1 h
    if name == "failed":
        return codes  # how many repeats failed
    return [cell for cell in there if name in _REMARKS and _GAVE_UP.fullmatch(cell) and _MENDED.search(cell)]


def _failures(name: str, cells: Sequence[str]) -> list[bool]:
    """Return for each cell of a column whether it says that its run failed or was not finished."""
    there = {cell for cell in cells if not _UNSAID.fullmatch(cell)}
    # 1000 completed requests are no answer to the question whether a run completed.
    answers = bool(there) and all(_YES.fullmatch(cell) or _NO.fullmatch(cell) or _state(cell) for cell in there)
    by_code = name in _CODES and (name not in _SHORT or any(map(_FINE.fullmatch, there)))
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
