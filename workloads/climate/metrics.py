"""The measures of a segmentation: the loss of each example, and a confusion matrix, from which all else follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from workloads.climate.published import CLASSES

NAMES = ("background", "tc", "ar")  # of the classes in metrics


def weighted_cross_entropy(labels: tf.Tensor, logits: tf.Tensor, weights: Sequence[float]) -> tf.Tensor:
    """Cross-entropy of each point times the weight of its class; the mean over the points of each example.

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
    labels = tf.cast(labels, tf.int32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses * tf.gather(tf.constant(weights, logits.dtype), labels), axis=[1, 2])


def statistics(labels: tf.Tensor, logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Sums over the examples of a batch.

    Parameters
    ----------
    labels : tensor (batch, H, W), integer
        Class of each point.
    logits : tensor (batch, H, W, classes)
        The largest is the predicted class.

    Returns
    -------
    dict
        ``confusion``, (classes, classes): points by class (row) and predicted class (column), in float64, so that sums
        over a whole corpus are exact. ``sample_iou``: for each example the mean of the IoU over the classes. A class
        that is neither there nor predicted counts 1, as in MLPerf HPC.
    """
    classes = len(CLASSES)
    pairs = tf.cast(labels, tf.int32) * classes + tf.argmax(logits, axis=-1, output_type=tf.int32)
    counts = tf.reduce_sum(tf.one_hot(pairs, classes**2, dtype=tf.float32), axis=[1, 2])  # exact up to 2^24 points
    matrices = tf.cast(tf.reshape(counts, (-1, classes, classes)), tf.float64)
    hits = tf.linalg.diag_part(matrices)
    union = tf.reduce_sum(matrices, axis=1) + tf.reduce_sum(matrices, axis=2) - hits
    samples = tf.where(union > 0, hits / tf.maximum(union, 1.0), 1.0)
    return {
        "confusion": tf.reduce_sum(matrices, axis=0),
        "sample_iou": tf.reduce_sum(tf.reduce_mean(samples, axis=1)),
    }


def summarise(totals: dict[str, np.ndarray], examples: int) -> dict[str, float]:
    """The metrics of a corpus.

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
