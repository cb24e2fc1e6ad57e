"""The scaling table in the forms that allocation committees ask for."""

from collections.abc import Sequence
from typing import Any

from profiling import text
from profiling.study.run import Run
from profiling.study.runs import Study
from profiling.study.tables import Series
from profiling.tables.names import SECONDS


def tables(study: Study, kind: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tables of a study of one series as text: ``title``, ``note``, ``header`` and ``rows`` of each."""
    cores = {ranks: _cores(runs[0]) for ranks, runs in study.by_ranks.items()}
    timed = "that of one optimizer step, the main loop alone, as the mean over all timed steps of all repeats"
    if study.whole:
        timed = "that of a run, as its program prints it or else with its start-up, as the mean over all repeats"
    elif not all(run.training for run in study.runs):
        timed = timed.replace("optimizer step", "step")
    # The columns are those of the form, word for word; its table for weak scaling has no speed-up.
    prace = [
        ("Number of cores", lambda row: str(cores[row["workers"]] or "N/A")),
        ("Wall clock time", lambda row: f"{text.number(row['run_seconds'])} s"),
        *([] if kind == "weak" else [("Speed-up vs the first one", text.value("speedup"))]),
        ("Number of Nodes", text.value("nodes", str)),
        ("Number of process", text.value("workers", str)),
    ]
    access = [
        ("nodes", text.value("nodes", str)),
        ("ranks", text.value("workers", str)),
        ("GPUs", text.value("gpus", str)),
        ("time [s]" if study.whole else "time per step [s]", text.value("run_seconds")),
        ("speed-up", text.value("speedup")),
        ("ideal", lambda row: text.number(row["workers"] / rows[0]["workers"])),
        ("parallel efficiency", text.value("efficiency", text.percent)),
        *_node_hours(study),
    ]
    return [
        _form(
            f"PRACE/EuroHPC, {kind} scaling",
            f"Wall clock time is {timed}.",
            *text.cells(prace, rows),
        ),
        _form(
            f"ACCESS and INCITE style, {kind} scaling",
            "Neither prescribes columns: these are what their reviewers look for. Speed-up is in "
            f"{study.unit}, relative to the first row.",
            *text.cells(access, rows),
        ),
    ]


def _node_hours(study: Study) -> list[tuple[str, text.Form]]:
    """Return the column of node-hours for the work done; none if the unit of the throughput does not say what is done
    in which time."""
    if study.whole:
        return [("node-hours / run", lambda row: text.number(row["nodes"] * row["run_seconds"] / 3600))]
    done, _, time = study.unit.rpartition("/")
    if not done or time not in SECONDS:
        return []
    count, of = (1e6, f"million {done}") if time == "s" else (1, done)
    hours = count * SECONDS[time] / 3600
    return [(f"node-hours / {of}", lambda row: text.number(row["nodes"] * hours / row["throughput"]))]


def of_table(series: Series, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same tables for a series of a plain table, as far as it says what they ask for."""

    def count(*works: str) -> text.Form:
        known = next((series.counts[each] for each in works if each in series.counts), {})
        return lambda row: str(known.get(row["workers"], "N/A"))

    def time(row: dict[str, Any], unit: str = "") -> str:
        seconds = series.seconds.get(row["workers"])
        return "N/A" if seconds is None else f"{text.number(seconds)}{unit}"

    def hours(row: dict[str, Any]) -> str:
        nodes, seconds = series.counts.get("node", {}).get(row["workers"]), series.seconds.get(row["workers"])
        return "N/A" if nodes is None or seconds is None else text.number(nodes * seconds / 3600)

    kind = f"{series.kind} scaling" if series.kind else "scaling"
    prace = [
        ("Number of cores", count("core", "thread")),
        ("Wall clock time", lambda row: time(row, " s")),
        *([] if series.kind == "weak" else [("Speed-up vs the first one", text.value("speedup"))]),
        ("Number of Nodes", count("node")),
        ("Number of process", count("process", "rank", "worker")),
    ]
    access = [
        ("nodes", count("node")),
        ("ranks", count("rank", "process", "worker")),
        ("GPUs", count("GPU")),
        ("time [s]", time),
        ("speed-up", text.value("speedup")),
        ("ideal", lambda row: text.number(row["workers"] / rows[0]["workers"])),
        ("parallel efficiency", text.value("efficiency", text.percent)),
        ("node-hours / run", hours),
    ]
    unsaid = "N/A stands where the table does not say it."
    return [
        _form(
            f"PRACE/EuroHPC, {kind}",
            f"Wall clock time is that of the table, as the mean over its repeats. {unsaid}",
            *text.cells(prace, rows),
        ),
        _form(
            f"ACCESS and INCITE style, {kind}",
            f"Neither prescribes columns: these are what their reviewers look for. Speed-up is relative "
            f"to the first row. {unsaid}",
            *text.cells(access, rows),
        ),
    ]


def _form(title: str, note: str, header: list[str], rows: list[list[str]]) -> dict[str, Any]:
    return {"title": title, "note": note, "header": header, "rows": rows}


def _cores(run: Run) -> int | None:
    """Return the cores of a run's ranks: those requested, else all of the nodes. Local nodes share one machine."""
    if cores := run.plan.get("cpus_per_task"):
        return cores * run.ranks
    per_node = run.environment.get("cores")
    return per_node and per_node * (1 if run.plan["backend"] == "local" else run.nodes)
