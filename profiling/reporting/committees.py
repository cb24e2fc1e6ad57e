"""The scaling table in the forms that allocation committees ask for."""

from collections.abc import Sequence
from typing import Any

from profiling import text
from profiling.study.runs import Run, Study


def tables(study: Study, kind: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tables of text: ``title``, ``note``, ``header``, ``rows``.

    Parameters
    ----------
    study : Study
        Of one series.
    kind : str
        "weak" or "strong".
    rows : sequence of dict
        Of `columns.rows`.
    """
    cores = {run.ranks: _cores(run) for run in study.runs}
    return [_prace(kind, rows, cores), _access(kind, rows, study.unit)]


def _prace(kind: str, rows: Sequence[dict[str, Any]], cores: dict[int, int | None]) -> dict[str, Any]:
    """The columns are those of the form, word for word; its table for weak scaling has no speed-up."""
    header = ["Number of cores", "Wall clock time", "Speed-up vs the first one", "Number of Nodes", "Number of process"]
    body = [
        [
            "N/A" if cores[row["workers"]] is None else str(cores[row["workers"]]),
            f"{text.number(_step(row))} s",
            text.number(row["speedup"]),
            str(row["nodes"]),
            str(row["workers"]),
        ]
        for row in rows
    ]
    if kind == "weak":
        header, *body = ([*line[:2], *line[3:]] for line in (header, *body))
    return {
        "title": f"PRACE/EuroHPC, {kind} scaling",
        "note": "Wall clock time is that of one optimizer step, the main loop alone, as the mean over all timed steps of all repeats.",
        "header": header,
        "rows": body,
    }


def _access(kind: str, rows: Sequence[dict[str, Any]], unit: str) -> dict[str, Any]:
    first, work = rows[0], unit.removesuffix("/s")
    header = ["nodes", "ranks", "GPUs", "time per step [s]", "speed-up", "ideal", "parallel efficiency", f"node-hours / million {work}"]  # fmt: skip
    body = [
        [
            *(str(row[key]) for key in ("nodes", "workers", "gpus")),
            text.number(_step(row)),
            text.number(row["speedup"]),
            text.number(row["workers"] / first["workers"]),
            text.percent(row["efficiency"]),
            text.number(row["nodes"] * 1e6 / row["throughput"] / 3600),
        ]
        for row in rows
    ]
    return {
        "title": f"ACCESS and INCITE style, {kind} scaling",
        "note": "Neither prescribes columns: these are what their reviewers look for. Speed-up is in "
        f"{unit}, against the first row.",
        "header": header,
        "rows": body,
    }


def _step(row: dict[str, Any]) -> float:
    """Mean seconds of a step: its work over the harmonic mean of the repeats' rates."""
    return row["work_per_step"] / row["throughput"]


def _cores(run: Run) -> int | None:
    """Cores that the ranks of a run had: those asked for, else all of the nodes; groups on one machine share its cores."""
    if run.plan["cpus_per_task"]:
        return run.plan["cpus_per_task"] * run.ranks
    on_first = run.surroundings.get("cores")
    return on_first and on_first * (1 if run.plan["backend"] == "local" else run.nodes)
