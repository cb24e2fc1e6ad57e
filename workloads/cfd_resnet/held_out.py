"""What a trained network is worth on flows that nothing was chosen by: other shapes, shapes from files, other Reynolds numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras

from workloads.cfd_resnet import picture
from workloads.cfd_resnet.examples import Examples
from workloads.cfd_resnet.metrics import Metrics, relative_error

KEPT = ("error", "error_u", "error_v", "flux_error", "drag_error", "times_better", "squared_error")


class HeldOut(NamedTuple):
    """A set of flows to measure on."""

    name: str  # "test", "masks", "test_re24" ...
    examples: Examples
    all_metrics: bool = True  # or the error alone


def measure(
    model: keras.Model, sets: Sequence[HeldOut], metrics: Metrics, batch: int, figures: Path
) -> dict[str, float]:
    """Measure a network, and draw the first flows of each set.

    Parameters
    ----------
    model : keras.Model
        The network.
    sets : sequence of HeldOut
        What to measure on.
    metrics : Metrics
        As in training.
    batch : int
        Examples at a time.
    figures : Path
        Folder of the pictures: one for each set, under its name.

    Returns
    -------
    dict of str to float
        ``<name>_error`` and the others of `KEPT`, and ``<name>_error_spread``, the standard deviation of the error over
        the flows; of a set without ``all_metrics`` the first alone.
    """
    found = {}
    for name, some, all_metrics in sets:
        inputs, targets = some.load(range(len(some)))
        outputs = model.predict(inputs, batch, verbose=0)
        picture.draw(figures / f"{name}.png", targets["mask"], targets["flow"], outputs)
        totals = {key: value.numpy() for key, value in metrics.statistics(targets, outputs).items()}
        summary = metrics.summarise(totals, len(some))
        if not all_metrics:
            found[f"{name}_error"] = summary["error"]
            continue
        found |= {f"{name}_{key}": summary[key] for key in KEPT}
        errors = relative_error(outputs, targets["flow"]).numpy()
        found[f"{name}_error_spread"] = float(errors.std(ddof=1)) if len(some) > 1 else 0.0
    return found
