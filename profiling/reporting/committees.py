"""The scaling table in the forms that allocation committees ask for."""

from collections.abc import Sequence
from typing import Any

from profiling import text
from profiling.study.runs import Run, Study


def tables(study: Study, kind: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tables of text - ``title``, ``note``, ``header``, ``rows`` - of a study of one series and its `columns.rows`."""
    cores = {ranks: _cores(runs[0]) for ranks, runs in study.by_ranks.items()}
    # The columns are those of the form, word for word; its table for weak scaling has no speed-up.
    prace = [
        ("Number of cores", lambda row: str(cores[row["workers"]] or "N/A")),
        ("Wall clock time", lambda row: f"{text.number(_step(row))} s"),
        *([] if kind == "weak" else [("Speed-up vs the first one", text.value("speedup"))]),
        ("Number of Nodes", text.value("nodes", str)),
        ("Number of process", text.value("workers", str)),
    ]
    access = [
        ("nodes", text.value("nodes", str)),
        ("ranks", text.value("workers", str)),
        ("GPUs", text.value("gpus", str)),
        ("time per step [s]", lambda row: text.number(_step(row))),
        ("speed-up", text.value("speedup")),
        ("ideal", lambda row: text.number(row["workers"] / rows[0]["workers"])),
        ("parallel efficiency", text.value("efficiency", text.percent)),
        (
            f"node-hours / million {study.unit.removesuffix('/s')}",
            lambda row: text.number(row["nodes"] * 1e6 / row["throughput"] / 3600),
        ),
    ]
    return [
        _form(
            f"PRACE/EuroHPC, {kind} scaling",
            "Wall clock time is that of one optimizer step, the main loop alone, as the mean over all timed steps of "
            "all repeats.",
            *text.cells(prace, rows),
        ),
        _form(
            f"ACCESS and INCITE style, {kind} scaling",
            "Neither prescribes columns: these are what their reviewers look for. Speed-up is in "
            f"{study.unit}, relative to the first row.",
            *text.cells(access, rows),
        ),
    ]


def _form(title: str, note: str, header: list[str], rows: list[list[str]]) -> dict[str, Any]:
    return {"title": title, "note": note, "header": header, "rows": rows}


def _step(row: dict[str, Any]) -> float:
    """Mean seconds of a step: the batch over the harmonic mean of the repeats' rates."""
    return row["work_per_step"] / row["throughput"]


def _cores(run: Run) -> int | None:
    """Cores that the ranks of a run had: those asked for, else all of the nodes; local nodes share one machine."""
    if cores := run.plan.get("cpus_per_task"):
        return cores * run.ranks
    per_node = run.environment.get("cores")
    return per_node and per_node * (1 if run.plan["backend"] == "local" else run.nodes)
