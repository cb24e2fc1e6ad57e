"""What a classifier confuses: its confusion matrix, and the images that it gets wrong."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

from workloads.data.images.sets import Images
from workloads.mnist.augmentation import Moves

AT_ONCE = 500  # images per batch
MOST = 40  # misclassified images shown at most


def finish(model: keras.Model, images: Images, classes: int, figures: Path) -> dict[str, float]:
    """Draw both pictures; measure the images again, each moved a little.

    Parameters
    ----------
    model : keras.Model
        Network that maps images to logits.
    images : Images
        Images to measure on.
    classes : int
        Length of the logits.
    figures : Path
        Folder for confusion.png and misclassified.png.

    Returns
    -------
    dict of str to float
        ``moved_accuracy``: the accuracy on the same images, each moved once as `Moves` does by default (10 degrees, a
        tenth of the size, ...), always in the same way. It shows how good a network is on digits that are not centred.
    """
    straight, moved = np.empty((2, len(images.labels)), np.int64)
    confidence = np.empty(len(images.labels))
    for first in range(0, len(images.labels), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        pixels = images.pixels[part] * np.float32(1 / 255)
        index = np.arange(first, first + len(pixels), dtype=np.uint64)
        logits = np.asarray(model(pixels, training=False), np.float64)
        straight[part] = logits.argmax(axis=1)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        confidence[part] = 1 / exponents.sum(axis=1)  # of the largest logit, whose exponential is 1
        seeds = np.stack([index, np.zeros_like(index)], axis=1)
        moved[part] = np.asarray(model(Moves()(pixels, seeds), training=False)).argmax(axis=1)
    draw_confusion(figures / "confusion.png", images.labels, straight, classes)
    draw_misclassified(figures / "misclassified.png", images, straight, confidence)
    return {"moved_accuracy": float((moved == images.labels).mean())}


def draw_confusion(path: Path, labels: np.ndarray, answers: np.ndarray, classes: int) -> None:
    """Draw how often each class (row) was classified as each class (column).

    Parameters
    ----------
    path : Path
        Path of the PNG.
    labels, answers : ndarray of int, (N,)
        Classes of the images, and the network's answers.
    classes : int
        Number of classes.
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, answers), 1)
    wrong = counts * (1 - np.eye(classes, dtype=np.int64))
    figure = Figure(figsize=(6.5, 6), dpi=110, layout="constrained")
    axes = figure.subplots()
    # Only the errors are coloured: beside the thousands on the diagonal they would all look alike.
    axes.imshow(np.ma.masked_equal(wrong, 0), cmap="Reds", vmin=0, vmax=max(1, wrong.max()))
    if classes <= 20:
        for row, column in np.ndindex(classes, classes):
            if counts[row, column]:
                dark = row != column and wrong[row, column] > 0.6 * wrong.max()
                colour = "white" if dark else "black"
                axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
    axes.set_xlabel("answer of the network")
    axes.set_ylabel("class of the image")
    axes.set_title(f"{wrong.sum()} of {len(labels)} images misclassified", fontsize="medium")
    figure.savefig(path)


def draw_misclassified(path: Path, images: Images, answers: np.ndarray, confidence: np.ndarray) -> None:
    """Draw the wrong answers of which the network was most certain, with class, answer and probability.

    Parameters
    ----------
    path : Path
        Path of the PNG.
    images : Images
        The images; some of them were misclassified.
    answers : ndarray of int, (N,)
        The network's answers.
    confidence : ndarray of float, (N,)
        Probability that the network gave each of its answers.
    """
    wrong = np.flatnonzero(answers != images.labels)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST]
    columns, rows = 8, max(1, -(-len(shown) // 8))
    figure = Figure(figsize=(9, 0.5 + 1.35 * rows), dpi=80, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place in axes:
        place.set_axis_off()
    for place, which in zip(axes, shown):
        place.imshow(images.pixels[which].squeeze(), cmap="gray", vmin=0, vmax=255)
        place.set_title(f"{images.labels[which]}, not {answers[which]} ({confidence[which]:.0%})", fontsize=7)
    figure.suptitle(f"{len(shown)} of {len(wrong)} misclassified images", fontsize="medium")
    figure.savefig(path)
