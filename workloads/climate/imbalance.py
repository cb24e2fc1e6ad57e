"""What class weights are for: the same short training with several of them, and a picture of what each network says.

python -m workloads.climate.imbalance [WORKLOAD OPTIONS]        imbalance.png, in the current folder

Nearly all points are background, so that a network which sees nothing else is right at 98 % of them. Without weights that is what it
learns first, and what it stays with for long.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from launch import errors
from launch.node.rank import Rank
from launch.plan import options
from workloads import climate
from workloads.climate.published import WEIGHTINGS


def compare(config: climate.Config, weightings: tuple[str, ...] = WEIGHTINGS) -> dict[str, tuple[dict, np.ndarray]]:
    """Train on one rank, from the same weights on the same examples, with each weighting.

    Parameters
    ----------
    config : climate.Config
        All but its ``weights``.
    weightings : tuple of str
        See `published.weights`.

    Returns
    -------
    dict
        Of each weighting the metrics of the validation set, and the predicted classes, (N, H, W), of its first 64 examples.
    """
    import keras
    import tensorflow as tf

    from workloads.training import scaling_rules
    from workloads.training.communicator import Communicator
    from workloads.training.evaluation import Evaluation
    from workloads.training.pipeline import Pipeline
    from workloads.training.sharding import Sharding
    from workloads.training.step import Step

    found = {}
    for weighting in weightings:
        keras.utils.set_random_seed(0)
        workload = climate.build(dataclasses.replace(config, weights=weighting), Rank())
        sharding = Sharding(len(workload.train), config.batch, 1, 0)
        steps = scaling_rules.total_steps(config.epochs, sharding.steps_per_epoch)
        with Communicator(Rank()) as communicator:
            optimizer = communicator.averaging(workload.optimizer(config.lr))
            optimizer.build(workload.model.trainable_variables)
            step = Step(workload, optimizer, communicator, config.xla)
            batches = Pipeline(workload.train)(sharding.batches(0, 0, steps))
            for number, (inputs, targets) in enumerate(batches, start=1):
                step(number, inputs, targets, [])
            metrics = Evaluation(workload, communicator, config.batch)()
        fields, _ = workload.validation.load(range(min(64, len(workload.validation))))
        logits = workload.model.predict(tf.convert_to_tensor(fields), config.batch, verbose=0)
        found[weighting] = metrics, logits.argmax(axis=-1)
    return found


def draw(path: Path, labels: np.ndarray, found: dict[str, tuple[dict, np.ndarray]]) -> None:
    """Draw the labels of the example with the most points of rare classes, and what each network says of it.

    Parameters
    ----------
    path : Path
        Of the PNG.
    labels : array (N, H, W)
        Classes by the rules.
    found : dict
        By `compare`.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    from workloads.climate.picture import COLOURS

    one = (labels > 0).sum(axis=(1, 2)).argmax()
    figure = Figure(figsize=(4.2 * (1 + len(found)), 3.4), dpi=100, layout="constrained")
    axes = figure.subplots(1, 1 + len(found), sharey=True)
    shown = {"labels by the rules": labels[one]}
    for weighting, (metrics, predicted) in found.items():
        title = f"weights: {weighting}\naccuracy {metrics['accuracy']:.2%}, IoU of TC {metrics['iou_tc']:.2f}, of AR {metrics['iou_ar']:.2f}"
        shown[title] = predicted[one]
    for axis, (title, classes) in zip(axes, shown.items()):
        axis.imshow(classes, origin="lower", extent=(0, 360, -90, 90), cmap=ListedColormap(COLOURS), vmin=-0.5, vmax=2.5,
                    interpolation="nearest", aspect="auto")  # fmt: skip
        axis.set_title(title, fontsize="small")
        axis.set_xlabel("longitude")
    axes[0].set_ylabel("latitude")
    figure.savefig(path)


def main(argv: list[str]) -> None:
    """Train with each weighting, print what each comes to, and draw."""
    from workloads.climate.layout import Examples, Scale

    config = options.parse(climate.Config, argv, "workloads.climate.imbalance")
    found = compare(config)
    print("weights    accuracy  IoU of TC  IoU of AR  part of the points that is said to be an event")
    for weighting, (metrics, predicted) in found.items():
        print(
            f"{weighting:9}  {metrics['accuracy']:8.2%}  {metrics['iou_tc']:9.3f}  {metrics['iou_ar']:9.3f}  {(predicted > 0).mean():.2%}"
        )
    folder = climate.maps(config)
    validation = Examples(folder / "validation", Scale.read(folder, config.channels))
    _, labels = validation.load(range(min(64, len(validation))))
    draw(Path("imbalance.png"), labels, found)


if __name__ == "__main__":
    errors.run(main)
