"""A table of numbers -> one of its columns: regression by a small network.

    python -m launch workloads.tabular --data houses.csv --target price
    python -m launch --name houses --sweep fold=0..9 workloads.tabular --data houses.csv
    python -m workloads.tabular.comparison runs/houses

The rows are divided into folds, and a run learns from all but one of them; the sweep makes a cross-validation, and the
last line its table. A run ends with the RMSE on the fold that it has not seen, in the unit of the column, beside that
of linear regression and of XGBoost on the same rows, and with figures/predictions.png. See docs/workloads/tabular.md.

Data: a csv file with a header, all numbers; without --data scikit-learn's diabetes, 442 patients
Time: half a minute for one of 10 folds of 500 rows
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.errors import Refusal
from launch.plan.typed import Count, Natural, NotNegative, Positive
from workloads.api import Data, Part, Training, Workload
from workloads.data.folds import Folds, divide, refuse_other

if TYPE_CHECKING:
    import keras

    from launch.node.rank import Rank
    from workloads.data.tables import Table

DIABETES = "scikit-learn's diabetes, 442 patients: for others give --data"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Config(Training):
    """The defaults are the recipe for some hundred rows."""

    epochs: Positive = 200  # passes over the training set at one rank
    batch: Count = 32  # examples per rank per step
    lr: Positive = 3e-3  # learning rate of Adam at one rank
    evaluate_every: NotNegative = 20  # epochs between evaluations; 0: only at the end
    data: Path | None = None  # csv file with a header, all numbers; not given: scikit-learn's diabetes
    target: str = ""  # column to predict; not given: the last one
    folds: Folds = 10  # parts into which the rows are divided
    fold: Natural = 0  # the part, from 0, on which is measured; the others are learned from
    split_seed: Natural = 0  # of the shuffling before the rows are divided, the same for all folds
    width: Count = 64  # units of a hidden layer
    layers: Count = 2  # hidden layers
    dropout: Part = 0.1  # part of the units of a hidden layer that each step leaves out

    def __post_init__(self) -> None:
        Training.__post_init__(self)
        refuse_other(self.fold, self.folds)

    def describe(self, size: int) -> dict[str, str]:
        """Return the loop's lines of the plan, and those on network and data."""
        column = f"column {self.target}" if self.target else "the last column"
        return Training.describe(self, size) | {
            "network": f"{self.layers} x {self.width} units",
            "data": f"{self.data or DIABETES}; {column}, measured on fold {self.fold} of {self.folds}",
        }


def build(config: Config, rank: Rank) -> Workload:
    """Build the network, its loss and the rows of the folds.

    Raises
    ------
    Refusal
        If the table does not exist, is damaged, or has too few rows.
    """
    import keras
    import numpy as np
    from keras import ops

    from workloads.data.tables import scale
    from workloads.tabular import comparison

    train, held = split(config)
    inputs, targets = scale(train.inputs), scale(train.targets[:, None])  # computed without the rows held out
    unit = float(targets.deviation[0])
    linear = comparison.rmse(held, comparison.linear(train, held))

    def statistics(actual: Any, predicted: Any) -> dict[str, Any]:
        errors = predicted - actual
        return {"squares": ops.sum(errors**2), "sizes": ops.sum(ops.abs(errors))}

    def summarise(totals: dict[str, Any], examples: int) -> dict[str, float]:
        squares, sizes = (float(totals[name]) / examples for name in ("squares", "sizes"))
        return {"rmse": unit * squares**0.5, "mae": unit * sizes}

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        predicted = np.asarray(ops.convert_to_numpy(model(inputs(held.inputs), training=False)), np.float64)
        network = targets.mean[0] + unit * predicted[:, 0]
        return comparison.finish(train, held, network, figures)

    def part(table: Table) -> Data:
        x, y = inputs(table.inputs), targets(table.targets[:, None])
        return Data(len(x), lambda index: (x[index], y[index]))

    layers: list[Any] = [keras.Input((len(train.columns),))]
    for _ in range(config.layers):
        layers += [keras.layers.Dense(config.width, "relu"), keras.layers.Dropout(config.dropout)]
    return Workload(
        model=keras.Sequential([*layers, keras.layers.Dense(1)]),
        loss=lambda actual, predicted: ops.mean((predicted - actual) ** 2, axis=1),
        optimizer=keras.optimizers.Adam,
        train=part(train),
        validation=part(held),
        statistics=statistics,
        summarise=summarise,
        finish=finish,
        target=("rmse", "<=", linear),
    )


def split(config: Config) -> tuple[Table, Table]:
    """Return the rows to learn from, and those of the fold that is held out.

    Raises
    ------
    Refusal
        For the same reasons as `build`.
    """
    from workloads.data import tables

    table = tables.read(config.data, config.target) if config.data else _diabetes()
    train, held = divide(len(table.targets), config.folds, config.fold, config.split_seed)
    return table.of(train), table.of(held)


def _diabetes() -> Table:
    from workloads.data.tables import Table

    try:
        from sklearn.datasets import load_diabetes
    except ImportError:
        raise Refusal(
            "without --data scikit-learn's diabetes are learned, and scikit-learn is not installed: "
            "give --data FILE.csv, or pip install scikit-learn"
        ) from None
    found: Any = load_diabetes(scaled=False)
    return Table(tuple(found.feature_names), found.data, "progression", found.target)
