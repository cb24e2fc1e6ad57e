"""The finished runs of some studies of a workload, for tables and figures of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from launch.errors import Refusal
from launch.plan import options
from launch.record.files import read_json
from launch.record.study import INDEX
from launch.submit.study.folders import runs_in


class Finished(NamedTuple):
    """A finished run."""

    config: Any  # an instance of the workload's Config
    seed: int
    ranks: int
    steps: int
    epochs: float
    metrics: dict[str, Any]


def finished(folders: Sequence[Path], config: type, workload: str, needed: Sequence[str]) -> tuple[list[Finished], int]:
    """Return the finished runs of some studies, in their order, and how many are not finished.

    Parameters
    ----------
    folders : sequence of Path
        Folders of the studies.
    config : type
        Config class of the workload.
    workload : str
        Module of the workload.
    needed : sequence of str
        Metrics that each run must have.

    Raises
    ------
    Refusal
        If a folder is not a study of that workload.
    """
    runs, unfinished = [], 0
    for folder in folders:
        if not (folder / INDEX).is_file():
            raise Refusal(f"{folder} is not a study: give the folder of a study of {workload}")
        for run in runs_in(folder):
            result, plan = run.result(), read_json(run.run_json)
            if result is None:
                unfinished += 1
                continue
            metrics = result.get("metrics", {})
            if missing := [name for name in needed if name not in metrics]:
                raise Refusal(f"{run.path} has no metric {missing[0]}: give the folder of a study of {workload}")
            values = options.parse(config, plan["entry"][3:], workload)
            numbers = result.get("ranks", 1), result.get("steps", 0), result.get("epochs", 0)
            runs.append(Finished(values, plan["seed"], *numbers, metrics))
    return runs, unfinished


def print_table(
    argv: Sequence[str],
    help: str,
    config: type,
    workload: str,
    needed: Sequence[str],
    table: Callable[[Sequence[Finished]], str],
) -> None:
    """Print the table of the finished runs of the studies that a command line names, or its help.

    Parameters
    ----------
    argv : sequence of str
        Words of the command line.
    help : str
        Text that is printed if there are none.
    config, workload, needed
        As in `finished`.
    table : function
        Makes the text of the table.

    Raises
    ------
    Refusal
        For the same reasons as `finished`, or if no run is finished.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(help)
        return
    rows, unfinished = finished([Path(word) for word in argv], config, workload, needed)
    if not rows:
        raise Refusal(f"no run of {', '.join(argv)} is finished: wait for some ({unfinished} are not)")
    print(table(rows))
    if unfinished:
        print(f"\n{unfinished} other runs are not finished")
