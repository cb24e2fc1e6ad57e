"""A picture of what a network has learned: fields, labels, predictions, and where the two differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from workloads.climate.published import CLASSES

COLOURS = ("0.93", "#c1272d", "#0072b2")  # colours of the classes
EXTENT = (0, 360, -90, 90)  # degrees east and north
SHADES = ("0.93", "#c1272d", "#e69f00", "0.2")  # right background; missed; false alarm; wrong kind of event


def draw(path: Path, fields: np.ndarray, name: str, labels: np.ndarray, predicted: np.ndarray, most: int = 3) -> None:
    """Draw the examples with the most points of rare classes, a row each.

    Parameters
    ----------
    path : Path
        Path of the PNG.
    fields : array (N, H, W)
        One channel, in any unit.
    name : str
        Name of that channel, with its unit if it has one.
    labels, predicted : array (N, H, W)
        Class of each point, by the rules and by the network.
    most : int
        Highest number of rows.
    """
    rare = [(label > 0).sum() + 20 * (label == 1).sum() for label in labels]
    chosen = np.argsort(rare)[::-1][:most]
    height, width = labels.shape[1:]
    figure = Figure(figsize=(16, 0.9 + 4.2 * len(chosen) * height / width), dpi=100, layout="constrained")
    axes = figure.subplots(len(chosen), 4, sharex=True, sharey=True, squeeze=False)
    for row, example in zip(axes, chosen):
        label, prediction = labels[example], predicted[example]
        difference = np.where(label == prediction, 0, np.where(prediction == 0, 1, np.where(label == 0, 2, 3)))
        image = row[0].imshow(fields[example], origin="lower", extent=EXTENT, cmap="viridis", aspect="auto")
        figure.colorbar(image, ax=row[0], location="left", shrink=0.8)
        for axis, classes, colours in zip(row[1:], (label, prediction, difference), (COLOURS, COLOURS, SHADES)):
            axis.imshow(
                classes, origin="lower", extent=EXTENT, cmap=ListedColormap(colours), vmin=-0.5,
                vmax=len(colours) - 0.5, interpolation="nearest", aspect="auto",
            )  # fmt: skip
        row[0].set_ylabel("latitude")
    for axis, title in zip(axes[0], (name, "labels by the rules", "network", "difference")):
        axis.set_title(title, fontsize="medium")
    for axis in axes[-1]:
        axis.set_xlabel("longitude")
    events = [Patch(color=colour, label=kind) for colour, kind in zip(COLOURS[1:], CLASSES[1:])]
    errors = [Patch(color=c, label=text) for c, text in zip(SHADES[1:], ("missed", "false alarm", "wrong kind"))]
    axes[-1, 2].legend(handles=events, loc="lower center", fontsize="small", ncols=2)
    axes[-1, 3].legend(handles=errors, loc="lower center", fontsize="small", ncols=3)
    figure.savefig(path)
