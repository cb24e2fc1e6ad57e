"""What a network is compared with on the same rows, and the table of a cross-validation.

python -m workloads.tabular.comparison STUDY      of a sweep over fold

Linear regression is ordinary least squares. XGBoost grows 500 trees of depth 4 at a learning rate of 0.05, each from
80 % of the rows and of the columns; it is left out where it is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from launch import errors
from launch.record.table import aligned
from workloads.data.folds import standard_error
from workloads.data.tables import Table, scale
from workloads.tabular import Config
from workloads.training.studies import Finished, print_table

BOOSTING = {"max_depth": 4, "eta": 0.05, "subsample": 0.8, "colsample_bytree": 0.8, "tree_method": "hist", "nthread": 1}
ROUNDS = 500

METRICS = {"rmse_mean": "mean", "rmse_linear": "linear", "rmse_xgboost": "xgboost", "rmse": "network"}
"""Heading of each metric in the table."""


def rmse(held: Table, predicted: np.ndarray) -> float:
    """Return the root mean square error of predictions, in the unit of the target."""
    return float(np.sqrt(np.mean((predicted - held.targets) ** 2)))


def linear(train: Table, held: Table) -> np.ndarray:
    """Return the predictions of ordinary least squares with a constant, float64 (rows held out,)."""
    standard = scale(train.inputs)
    design, asked = (np.c_[np.ones(len(t.targets)), standard(t.inputs).astype(np.float64)] for t in (train, held))
    return asked @ np.linalg.lstsq(design, train.targets, rcond=None)[0]


def boosted(train: Table, held: Table) -> np.ndarray | None:
    """Return the predictions of XGBoost, float32 (rows held out,), or None if it is not installed."""
    try:
        import xgboost
    except ImportError:
        return None
    rows = xgboost.QuantileDMatrix(train.inputs, train.targets, nthread=1)
    return xgboost.train({**BOOSTING, "seed": 0}, rows, ROUNDS).inplace_predict(held.inputs)


def finish(train: Table, held: Table, network: np.ndarray, figures: Path) -> dict[str, float]:
    """Compare the network with other methods, and draw the predictions.

    Parameters
    ----------
    train, held : Table
        Rows that were learned from, and rows that were held out.
    network : ndarray of float64, (rows held out,)
        The network's predictions.
    figures : Path
        Folder for predictions.png.

    Returns
    -------
    dict of str to float
        RMSE of predicting the mean of the training rows, of linear regression, and of XGBoost if it is installed.
    """
    mean = np.full(len(held.targets), train.targets.mean())
    others = {"rmse_mean": mean, "rmse_linear": linear(train, held), "rmse_xgboost": boosted(train, held)}
    known = {name: predicted for name, predicted in others.items() if predicted is not None}
    draw(figures / "predictions.png", held, {METRICS[n]: known[n] for n in list(known)[1:]} | {"network": network})
    return {name: rmse(held, predicted) for name, predicted in known.items()}


def draw(path: Path, held: Table, predictions: dict[str, np.ndarray]) -> None:
    """Draw the predictions for the rows held out against the true values, with the RMSE of each.

    Parameters
    ----------
    path : Path
        Path of the PNG.
    held : Table
        Rows that were held out.
    predictions : dict of str to ndarray, (rows,)
        Predictions of each method, by its name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(predictions), 3.6), dpi=110, layout="constrained")
    every = np.concatenate([held.targets, *predictions.values()])
    ends = [every.min(), every.max()]
    for axes, (name, predicted) in zip(figure.subplots(1, len(predictions), squeeze=False)[0], predictions.items()):
        axes.plot(ends, ends, color="0.7", linewidth=1)
        axes.scatter(held.targets, predicted, s=12)
        axes.set(title=f"{name}: RMSE {rmse(held, predicted):.3g}", xlabel=f"{held.target}, true")
        axes.set_aspect("equal")
        axes.set_ylabel("predicted")
    figure.savefig(path)


def table(rows: Sequence[Finished]) -> str:
    """Return the RMSE of each fold, and the mean RMSE with its standard error, as text.

    The last lines are the mean differences between the network and each of the others over the same folds.
    """
    rows = sorted(rows, key=lambda row: (row.config.fold, row.seed, row.ranks))
    names = [name for name in METRICS if all(name in row.metrics for row in rows)]
    values = np.array([[row.metrics[name] for name in names] for row in rows])
    lines = [["fold", "seed", "ranks", *(METRICS[name] for name in names)]]
    for row, line in zip(rows, values):
        lines.append(
            [f"{row.config.fold} of {row.config.folds}", str(row.seed), str(row.ranks), *map("{:.3f}".format, line)]
        )
    lines.append(["mean", "", "", *map("{:.3f}".format, values.mean(axis=0))])
    if len(rows) > 1:
        lines.append(["standard error", "", "", *map("{:.3f}".format, standard_error(values))])
    text = [aligned(lines, "<>"), ""]
    for name, difference in zip(names[:-1], (values[:, -1:] - values[:, :-1]).T):
        spread = f" +- {standard_error(difference):.3f}" if len(rows) > 1 else ""
        text.append(f"network less {METRICS[name]}, over the same folds: {difference.mean():+.3f}{spread}")
    return "\n".join(text)


def main(argv: Sequence[str]) -> None:
    """Print the table; see `workloads.training.studies.print_table`."""
    print_table(argv, str(__doc__), Config, "workloads.tabular", ("rmse", "rmse_linear"), table)


if __name__ == "__main__":
    errors.run(main)
