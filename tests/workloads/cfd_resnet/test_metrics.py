"""The metrics: what they say of flows of which it is known beforehand."""

from dataclasses import replace

import creeping
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.cfd_resnet import metrics

H, W = 16, 32
FLOWS = creeping.flows(6)
MASK = FLOWS.mask.astype(np.float32)
TARGETS = {"flow": FLOWS.flow, "mask": MASK, "reynolds": np.full(len(MASK), FLOWS.reynolds, np.float32)}
METRICS = metrics.Metrics(metrics.mean_field([FLOWS]))
EMPTY = np.zeros((1, H, W, 1), np.float32)
a_few = settings(max_examples=8, deadline=None)


def totals(outputs: np.ndarray, some: slice = slice(None)) -> dict[str, np.ndarray]:
    targets = {name: tf.constant(value[some]) for name, value in TARGETS.items()}
    return {
        name: value.numpy().astype(np.float64)
        for name, value in METRICS.statistics(targets, tf.constant(outputs[some])).items()
    }


def summary(outputs: np.ndarray) -> dict[str, float]:
    return METRICS.summarise(totals(outputs), len(outputs))


def sums(function, field: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Of one example: squares, and places."""
    squares, places = function(tf.constant(field), tf.constant(mask))
    return float(squares[0]), float(places[0])


def poiseuille(height: int, width: int) -> np.ndarray:
    """The flow in an empty channel, (1, H, W, 2)."""
    y = (np.arange(height) + 0.5) / height
    flow = np.zeros((1, height, width, 2), np.float32)
    flow[..., 0] = (4 * y * (1 - y))[:, None]
    return flow


def test_the_solvers_own_flow_has_no_error():
    found = summary(FLOWS.flow)
    assert [found[name] for name in ("error", "error_u", "error_v", "flux_error", "drag_error")] == [0] * 5


def test_the_mean_field_is_as_good_as_itself():
    found = summary(METRICS.mean_field * (1 - MASK))
    assert found["times_better"] == pytest.approx(1)
    for name in ("error", "flux_error", "drag_error", "divergence", "slip"):
        assert found[name] == pytest.approx(found[f"mean_field_{name}"], rel=1e-6)
    assert found["error"] > 0.1


@a_few
@given(st.floats(0, 4))
def test_errors_are_relative(factor: float):
    found = summary((FLOWS.flow * factor).astype(np.float32))
    for name in ("error", "error_u", "error_v", "flux_error"):
        assert found[name] == pytest.approx(abs(factor - 1), abs=1e-5)


@a_few
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_sums_of_two_parts_are_those_of_the_whole(where: int, seed: int):
    outputs = FLOWS.flow + np.random.default_rng(seed).normal(size=FLOWS.flow.shape).astype(np.float32)
    first, second, whole = (totals(outputs, some) for some in (slice(where), slice(where, None), slice(None)))
    for name, value in whole.items():
        assert first[name] + second[name] == pytest.approx(value, rel=1e-5)


def test_the_mean_counts_fluid_only_and_is_symmetric():
    mask = np.zeros((2, 4, 3, 1), np.uint8)
    mask[0, 0, 0] = 1
    flow = np.zeros((2, 4, 3, 2), np.float32)
    flow[0], flow[1] = (2, 1), (4, 1)
    flow[0, 0, 0] = 0
    mean = metrics.mean_field([replace(FLOWS, mask=mask, flow=flow)])
    # Fluid there: 4 in the second, and 2 and 4 in the mirrored ones; v cancels but where one is missing.
    np.testing.assert_allclose(mean[0, 0], [10 / 3, -1 / 3], rtol=1e-6)
    np.testing.assert_allclose(mean[3, 0], [10 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(mean[:, 1:], np.broadcast_to([3, 0], (4, 2, 2)))


@a_few
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_divergence_of_linear_flows(a: float, b: float, c: float):
    y, x = np.mgrid[:H, :W].astype(np.float32)
    field = np.stack([a * x + b * y, c * x - a * y], axis=-1)[None]
    squares, cells = sums(metrics.divergence, field, EMPTY)
    assert cells == (H - 2) * (W - 2)
    assert squares / cells < 1e-9
    field[..., 1] += 0.5 * y
    squares, _ = sums(metrics.divergence, field, EMPTY)
    assert squares / cells == pytest.approx(0.25, rel=1e-4)


def test_divergence_of_a_vortex_falls_with_the_square_of_the_cell():
    """u and v of the stream function sin(pi x) sin(2 pi y), which have no divergence."""
    found = []
    for n in (16, 32, 64):
        y, x = ((np.mgrid[:n, :n] + 0.5) / n).astype(np.float32)
        u, v = 2 * np.sin(np.pi * x) * np.cos(2 * np.pi * y), -np.cos(np.pi * x) * np.sin(2 * np.pi * y)
        squares, cells = sums(metrics.divergence, np.stack([u, v], -1)[None], np.zeros((1, n, n, 1), np.float32))
        found.append(n * (squares / cells) ** 0.5)  # per height
    assert found[0] / found[1] == pytest.approx(4, rel=0.1)
    assert found[1] / found[2] == pytest.approx(4, rel=0.1)


def test_only_cells_inside_the_fluid_count_for_divergence():
    mask = EMPTY.copy()
    mask[:, 5:8, 10:12] = 1
    field = np.random.default_rng(0).normal(size=(1, H, W, 2)).astype(np.float32)
    squares, cells = sums(metrics.divergence, field, mask)
    assert cells == (H - 2) * (W - 2) - 3 * 2 - 2 * (3 + 2)
    field[:, 5:8, 10:12] = 9
    assert sums(metrics.divergence, field, mask)[0] == pytest.approx(squares)


def test_slip_of_a_shear_flow():
    """u is linear and 0 on the face of the lower wall; on the upper it is the speed of a moving wall."""
    y = np.arange(H, dtype=np.float32) + 0.5
    field = np.zeros((1, H, W, 2), np.float32)
    field[..., 0] = (y / H)[:, None]
    squares, faces = sums(metrics.slip, field, EMPTY)
    assert (squares, faces) == (pytest.approx(W, rel=1e-5), 2 * W)


def test_slip_on_an_obstacle():
    """A box in a uniform flow: four sides of faces, each sees the whole speed."""
    mask = EMPTY.copy()
    mask[:, 6:10, 10:16] = 1
    field = np.zeros((1, H, W, 2), np.float32)
    field[..., 1] = 0.5 * (1 - mask[..., 0])
    squares, faces = sums(metrics.slip, field, mask)
    assert faces == 2 * W + 2 * (4 + 6)
    assert squares == pytest.approx(0.25 * faces)


@pytest.mark.parametrize("height", [16, 32, 64])
def test_an_empty_channel_has_no_drag(height: int):
    """Poiseuille: pressure drop x H = 2 walls x 4 mu L / H x u_max, so what is left over is the error of the differences."""
    reynolds, width = 20.0, 2 * height
    drag = metrics.drag_by_balance(
        tf.constant(poiseuille(height, width)), np.zeros((1, height, width, 1), "f"), reynolds
    )
    pressure = 8 * (width - 1) / height / reynolds
    assert abs(float(drag[0])) < 3 / height**1.0 * pressure


def test_the_mirrored_flow_has_the_same_metrics():
    outputs = FLOWS.flow + np.random.default_rng(1).normal(0, 0.1, FLOWS.flow.shape).astype(np.float32)
    turned = {
        "flow": tf.constant(FLOWS.flow[:, ::-1] * np.float32((1, -1))),
        "mask": tf.constant(MASK[:, ::-1]),
        "reynolds": tf.constant(FLOWS.reynolds),
    }
    mirrored = METRICS.statistics(turned, tf.constant(outputs[:, ::-1] * np.float32((1, -1))))
    for name, value in totals(outputs).items():
        assert float(mirrored[name]) == pytest.approx(float(value), rel=1e-4)
