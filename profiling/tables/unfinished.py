"""Rows that say of themselves that they are not measurements: runs that failed or still run, and the steps of jobs."""

import re
from dataclasses import replace

from profiling import text
from profiling.tables import names, numbers
from profiling.tables.grid import Grid, Row

_STATES = ("state", "status", "outcome", "exit status", "job state")
_NOT_YET = re.compile(r"(running|pending|queued|suspended|requeued|preempted|revoked|resizing)\b.*", re.IGNORECASE)
_JOBS = ("jobid", "job id", "jobidraw")
_STEP = re.compile(r"\d+(?:[_+]\d+)?\.\w+")  # 1234.batch, 1234_5.0: Slurm's names for the parts of a job


def left_out(grid: Grid) -> Grid:
    """Return a grid without rows of runs that did not finish and of steps of jobs; its notes say which these are.

    Steps are the lines that ``sacct`` adds below each job (without ``-X``): the nodes and the time in them are parts of
    those of the job. They are kept where a table has nothing else.
    """
    named = [re.sub(r"[\s_]+", " ", names.plain(name)).lower() for name in grid.header]
    notes = list(grid.notes)
    job = next((place for place, name in enumerate(named) if name in _JOBS), None)
    steps = [row for row in grid.rows if job is not None and _STEP.fullmatch(str(row.cells[job] or "").strip())]
    if steps and len(steps) < len(grid.rows):
        notes.append(f"left out: {text.plural(len(steps), 'line')} of steps of jobs, from {steps[0].where} on")
    else:
        steps = []
    state = next((place for place, name in enumerate(named) if name in _STATES), None)
    rows = []
    for row in grid.rows:
        if row in steps:
            continue
        if state is not None and _did_not_finish(row, state):
            notes.append(f"left out: {row.where}: {grid.header[state]} is {str(row.cells[state]).strip()}")
        else:
            rows.append(row)
    return replace(grid, rows=tuple(rows), notes=tuple(notes))


def _did_not_finish(row: Row, state: int) -> bool:
    cell = row.cells[state]
    return isinstance(cell, str) and bool(
        numbers.FAILED.fullmatch(found := cell.strip().replace("_", " ")) or _NOT_YET.fullmatch(found)
    )
