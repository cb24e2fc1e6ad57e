"""The runs of some studies as a table: what varied, and what came of it.

python -m workloads.mnist.table STUDY [STUDY ...]      of jobs/mnist_large_batch.toml, or of any --array of workloads.mnist

The last column is the accuracy less that of the smallest batch with the same network, optimizer and seed, where batches differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch import errors
from launch.errors import Refusal
from launch.plan import options
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.submit.study import INDEX, runs_in
from workloads.mnist import Config


@dataclass(frozen=True, slots=True)
class Row:
    """A finished run."""

    config: Config
    ranks: int
    seed: int
    batch: int  # of all ranks together
    steps: int
    accuracy: float
    moved: float


def read(folders: Sequence[Path]) -> tuple[list[Row], int]:
    """The finished runs of some studies, in their order, and how many are not finished.

    Raises
    ------
    Refusal
        If a folder is no study, or no run is finished.
    """
    rows, unfinished = [], 0
    for folder in folders:
        if not (folder / INDEX).is_file():
            raise Refusal(f"{folder} is no study: give the folder of a study of workloads.mnist")
        for run in runs_in(folder):
            row = _row(run)
            rows += [row] if row else []
            unfinished += row is None
    if not rows:
        raise Refusal(f"no run of {', '.join(map(str, folders))} is finished: wait for some ({unfinished} are not)")
    return rows, unfinished


def table(rows: Sequence[Row]) -> str:
    """All runs, in Markdown."""
    columns = {
        "network": [row.config.network for row in rows],
        "optimizer": [row.config.optimizer for row in rows],
        "precision": [row.config.precision for row in rows],
        "batch": [f"{row.batch:,}" for row in rows],
        "ranks": [str(row.ranks) for row in rows],
        "epochs": [f"{row.config.epochs:g}" for row in rows],
        "learning rate": [f"{row.config.learning_rate_plan(row.ranks).peak:g}" for row in rows],
        "seed": [str(row.seed) for row in rows],
    }
    # What is the same in all rows is said once, above them.
    same = {name: cells[0] for name, cells in columns.items() if len(set(cells)) == 1}
    columns = {name: cells for name, cells in columns.items() if name not in same}
    columns["steps"] = [f"{row.steps:,}" for row in rows]
    columns["accuracy"] = [f"{row.accuracy:.2%}" for row in rows]
    columns["of moved images"] = [f"{row.moved:.1%}" for row in rows]
    if "batch" in columns:
        columns["points to the smallest batch"] = [_difference(row, rows) for row in rows]
    lines = [", ".join(f"{name} {value}" for name, value in same.items()), ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cells) + " |" for cells in zip(*columns.values())]
    return "\n".join(lines)


def _difference(row: Row, rows: Sequence[Row]) -> str:
    alike = [r for r in rows if all(getattr(r.config, n) == getattr(row.config, n) for n in ("network", "optimizer"))]
    smallest = min((r for r in alike if r.seed == row.seed), key=lambda r: r.batch)
    return "" if row.batch == smallest.batch else f"{100 * (row.accuracy - smallest.accuracy):+.2f}"


def _row(run: RunDir) -> Row | None:
    result = run.result()
    if not result:
        return None
    plan = read_json(run.run_json)
    config = options.parse(Config, plan["entry"][3:], "workloads.mnist")
    found, ranks = result["metrics"], result["ranks"]
    return Row(config, ranks, plan["seed"], config.batch * ranks, result["steps"], found["accuracy"], found["moved_accuracy"])  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Print the table."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return
    rows, unfinished = read([Path(word) for word in argv])
    print(table(rows))
    if unfinished:
        print(f"\n{unfinished} other runs are not finished")


if __name__ == "__main__":
    errors.run(main)
