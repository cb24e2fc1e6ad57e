"""The runs of some studies as a table: what varied, and the results.

python -m workloads.mnist.table STUDY [STUDY ...]      of jobs/mnist_large_batch.toml, or any other of workloads.mnist

Where batches differ, the last column is the accuracy less that of the smallest batch with the same network, optimizer
and seed.
"""

from __future__ import annotations

from collections.abc import Sequence

from launch import errors
from workloads.mnist import Config
from workloads.training.studies import Finished, print_table


def table(rows: Sequence[Finished]) -> str:
    """Return a table of all runs, in Markdown."""
    columns = {
        "network": [row.config.network for row in rows],
        "optimizer": [row.config.optimizer for row in rows],
        "precision": [row.config.precision for row in rows],
        "batch": [f"{_batch(row):,}" for row in rows],
        "ranks": [str(row.ranks) for row in rows],
        "epochs": [f"{row.config.epochs:g}" for row in rows],
        "learning rate": [row.config.learning_rate_plan(row.ranks).text().partition(" ")[0] for row in rows],
        "seed": [str(row.seed) for row in rows],
    }
    # What is the same in all rows is printed once, above them.
    same = {name: cells[0] for name, cells in columns.items() if len(set(cells)) == 1}
    columns = {name: cells for name, cells in columns.items() if name not in same}
    columns["steps"] = [f"{row.steps:,}" for row in rows]
    columns["accuracy"] = [f"{row.metrics['accuracy']:.2%}" for row in rows]
    columns["of moved images"] = [f"{row.metrics['moved_accuracy']:.1%}" for row in rows]
    if "batch" in columns:
        columns["points to the smallest batch"] = [_difference(row, rows) for row in rows]
    lines = [", ".join(f"{name} {value}" for name, value in same.items()), ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cells) + " |" for cells in zip(*columns.values())]
    return "\n".join(lines)


def _batch(row: Finished) -> int:
    """Return the batch of all ranks together."""
    return row.config.batch * row.ranks


def _difference(row: Finished, rows: Sequence[Finished]) -> str:
    alike = [r for r in rows if all(getattr(r.config, n) == getattr(row.config, n) for n in ("network", "optimizer"))]
    smallest = min((r for r in alike if r.seed == row.seed), key=_batch)
    points = 100 * (row.metrics["accuracy"] - smallest.metrics["accuracy"])
    return "" if _batch(row) == _batch(smallest) else f"{points:+.2f}"


def main(argv: Sequence[str]) -> None:
    """Print the table; see `workloads.training.studies.print_table`."""
    print_table(argv, str(__doc__), Config, "workloads.mnist", ("accuracy", "moved_accuracy"), table)


if __name__ == "__main__":
    errors.run(main)
