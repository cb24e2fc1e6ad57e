"""Losses and metrics of a segmentation against their definitions, example by example and point by point."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workloads.climate.metrics import statistics, summarise, weighted_cross_entropy
from workloads.climate.published import FREQUENCIES, WEIGHTINGS, weights

maps = arrays.arrays(np.uint8, (4, 3, 5), elements=st.integers(0, 2))


def summary(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    totals = statistics(tf.constant(labels), tf.one_hot(predicted, 3))
    return summarise({name: total.numpy() for name, total in totals.items()}, len(labels))


def iou(labels: np.ndarray, predicted: np.ndarray, kind: int) -> float:
    union = ((labels == kind) | (predicted == kind)).sum()
    return ((labels == kind) & (predicted == kind)).sum() / union if union else 1.0


@settings(max_examples=50, deadline=None)
@given(maps, maps)
def test_metrics_follow_their_definitions(labels: np.ndarray, predicted: np.ndarray):
    metrics = summary(labels, predicted)
    for kind, name in enumerate(("background", "tc", "ar")):
        expected = iou(labels, predicted, kind)
        assert metrics[f"iou_{name}"] == pytest.approx(expected)
        assert metrics[f"f1_{name}"] == pytest.approx(2 * expected / (1 + expected))
    assert metrics["mean_iou"] == pytest.approx(np.mean([iou(labels, predicted, kind) for kind in range(3)]))
    assert metrics["sample_iou"] == pytest.approx(
        np.mean([iou(one, other, kind) for one, other in zip(labels, predicted) for kind in range(3)])
    )
    assert metrics["accuracy"] == pytest.approx((labels == predicted).mean())
    assert metrics["frequency_tc"] == pytest.approx((labels == 1).mean())
    assert metrics["predicted_ar"] == pytest.approx((predicted == 2).mean())


@settings(max_examples=20, deadline=None)
@given(maps, maps, st.integers(1, 3))
def test_parts_add_up_to_the_whole(labels: np.ndarray, predicted: np.ndarray, cut: int):
    """As batches and ranks do."""
    logits = tf.one_hot(predicted, 3)
    whole = statistics(labels, logits)
    parts = [statistics(labels[some], logits[some]) for some in (slice(cut), slice(cut, None))]
    for name, total in whole.items():
        np.testing.assert_allclose(total, parts[0][name] + parts[1][name], rtol=1e-12)


def test_an_absent_class_counts_one_a_sample_and_not_in_the_corpus():
    labels, predicted = np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8)
    labels[0, 0, 0] = 1
    metrics = summary(labels, predicted)
    assert metrics["iou_tc"] == 0
    assert metrics["iou_ar"] == 1
    assert metrics["sample_iou"] == pytest.approx(((3 / 4 + 0 + 1) / 3 + 1) / 2)


def test_the_published_weights():
    assert weights("none") == (1, 1, 1)
    assert sum(weights("sqrt")) == sum(weights("inverse")) == pytest.approx(1)
    for kind, frequency in enumerate(FREQUENCIES):
        assert weights("inverse")[kind] / weights("inverse")[0] == pytest.approx(FREQUENCIES[0] / frequency)
        assert weights("sqrt")[kind] / weights("sqrt")[0] == pytest.approx((FREQUENCIES[0] / frequency) ** 0.5)
    # fpw_1 and fpw_2 in train_hdf5_ddp.py of MLPerf HPC's reference
    assert weights("mlperf")[1:] == pytest.approx([2.61461122397522257612, 1.71641974795896018744], rel=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_loss_is_a_mean_over_points(weighting: str):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(3, 4, 5, 3)), random.integers(0, 3, (3, 4, 5))
    value = weights(weighting)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = [
        np.mean([-value[labels[e, i, j]] * np.log(probabilities[e, i, j, labels[e, i, j]]) for i in range(4) for j in range(5)])
        for e in range(3)
    ]  # fmt: skip
    np.testing.assert_allclose(weighted_cross_entropy(labels, tf.constant(logits), value), expected, rtol=1e-6)
