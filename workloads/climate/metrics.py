"""The measures of a segmentation: the loss of each example, and a confusion matrix, from which all else follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from workloads.climate.published import CLASSES

ops: Any = keras.ops  # its annotations do not say what it returns

Tensor = Any  # a tensor of the engine
NAMES = ("background", "tc", "ar")  # names of the classes in metrics


def weighted_cross_entropy(labels: Tensor, logits: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the cross-entropy of each point times the weight of its class, averaged over each example.

    Parameters
    ----------
    labels : tensor (batch, H, W), integer
        Class of each point.
    logits : tensor (batch, H, W, classes), float32
        Output of the network.
    weights : sequence of float
        Weight of each class. The mean is over all points, not over the weights.

    Returns
    -------
    tensor (batch,)
    """
    labels = ops.cast(labels, "int32")
    losses = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return ops.mean(losses * ops.take(ops.convert_to_tensor(weights, losses.dtype), labels), axis=[1, 2])


def statistics(labels: Tensor, logits: Tensor) -> dict[str, Tensor]:
    """Return sums over the examples of a batch.

    Parameters
    ----------
    labels : tensor (batch, H, W), integer
        Class of each point.
    logits : tensor (batch, H, W, classes)
        Output of the network, whose largest value is at the predicted class.

    Returns
    -------
    dict
        ``confusion``, (classes, classes): points by class (row) and predicted class (column), in float64, so that sums
        over a whole corpus are exact. ``sample_iou``: for each example the mean of the IoU over the classes. A class
        that is neither there nor predicted counts 1, as in MLPerf HPC.
    """
    classes = len(CLASSES)
    pairs = ops.cast(labels, "int32") * classes + ops.argmax(logits, axis=-1)
    counts = ops.sum(ops.one_hot(pairs, classes**2, dtype="float32"), axis=[1, 2])  # exact up to 2^24 points
    matrices = ops.cast(ops.reshape(counts, (-1, classes, classes)), "float64")
    hits = ops.diagonal(matrices, axis1=-2, axis2=-1)
    union = ops.sum(matrices, axis=1) + ops.sum(matrices, axis=2) - hits
    samples = ops.where(union > 0, hits / ops.maximum(union, 1.0), 1.0)
    return {"confusion": ops.sum(matrices, axis=0), "sample_iou": ops.sum(ops.mean(samples, axis=1))}


def summarise(totals: dict[str, np.ndarray], examples: int) -> dict[str, float]:
    """Return the metrics of a corpus.

    Parameters
    ----------
    totals : dict
        Sums of `statistics` over all examples.
    examples : int
        Number of examples.

    Returns
    -------
    dict of str to float
        ``iou_<class>`` and ``f1_<class>`` of the corpus; 1 for a class that neither is there nor was predicted.
        ``mean_iou`` over the classes. ``sample_iou``, MLPerf's: the mean over the examples. ``accuracy``, the share of
        points that are right. ``frequency_<class>`` of the rare classes in the labels, and ``predicted_<class>``.
    """
    matrix = np.asarray(totals["confusion"], np.float64)
    hits, actual, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    union = actual + predicted - hits
    there = union > 0
    iou = np.divide(hits, union, out=np.ones(len(hits)), where=there)
    f1 = np.divide(2 * hits, actual + predicted, out=np.ones(len(hits)), where=there)
    return {
        **{f"iou_{name}": float(value) for name, value in zip(NAMES, iou)},
        **{f"f1_{name}": float(value) for name, value in zip(NAMES, f1)},
        "mean_iou": float(iou.mean()),
        "sample_iou": float(totals["sample_iou"]) / examples,
        "accuracy": float(hits.sum() / matrix.sum()),
        **{f"frequency_{name}": float(value / matrix.sum()) for name, value in list(zip(NAMES, actual))[1:]},
        **{f"predicted_{name}": float(value / matrix.sum()) for name, value in list(zip(NAMES, predicted))[1:]},
    }
