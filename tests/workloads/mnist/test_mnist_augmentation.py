"""Moved images: exact where they can be, a function of their own seeds, worth something."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.mnist.augmentation import Moves

STILL = Moves(0, 0, 0, 0)
IMAGES = np.random.default_rng(1).random((6, 15, 15, 3), np.float32)


def seeds(count: int, epoch: int = 0) -> np.ndarray:
    return np.stack([np.arange(count), np.full(count, epoch)], axis=1).astype(np.uint64)


def moved(moves: Moves, images: np.ndarray = IMAGES, epoch: int = 0) -> np.ndarray:
    return np.asarray(moves(images, seeds(len(images), epoch)))


def test_without_moves_nothing_changes():
    np.testing.assert_allclose(moved(STILL), IMAGES, atol=1e-6)


def test_mirrored_images_are_mirrored_and_half_of_them_are():
    images = np.random.default_rng(2).random((200, 15, 15, 3), np.float32)
    found = moved(Moves(0, 0, 0, 0, mirror=True), images)
    kinds = [
        0 if np.allclose(a, b, atol=1e-5) else 1 if np.allclose(a, b[:, ::-1], atol=1e-5) else 2
        for a, b in zip(found, images)
    ]
    assert set(kinds) == {0, 1}
    assert 70 < sum(kinds) < 130  # 200 fair coins: beyond with a probability of 2e-5


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.floats(0, 40),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
)
def test_moves_stay_within_their_bounds(one: int, other: int, rotate: float, shift: float, zoom: float, shear: float):
    a0, a1, a2, b0, b1, b2, *zeros = Moves(rotate, shift, zoom, shear).draw(
        np.array([[one, other]], np.uint64), 28, 28
    )[0]
    assert zeros == [0, 0]
    middle = np.array([a0 + a1, b0 + b1]) * 13.5 + np.array([a2, b2])
    assert np.abs(middle - 13.5).max() <= shift * 28 + 1e-3
    # The area changes by the scaling of both axes alone.
    assert (1 - zoom) ** 2 - 1e-4 <= a0 * b1 - a1 * b0 <= (1 + zoom) ** 2 + 1e-4
    assert abs(np.rad2deg(np.arctan2(b0, a0))) <= rotate + 1e-3


@pytest.mark.parametrize(
    "moves", [Moves(rotate=30, shift=0, zoom=0, shear=0), Moves(0, 0.2, 0, 0), Moves(0, 0, 0.2, 0), Moves(0, 0, 0, 0.2)]
)
def test_each_move_moves(moves: Moves):
    assert np.abs(moved(moves) - IMAGES).max(axis=(1, 2, 3)).min() > 0.05


def test_an_image_is_moved_by_its_own_seed_alone():
    together = moved(Moves())
    order = np.array([4, 0, 5])
    apart = np.asarray(Moves()(IMAGES[order], seeds(6)[order]))
    np.testing.assert_array_equal(apart, together[order])
    assert np.abs(moved(Moves(), epoch=1) - together).max(axis=(1, 2, 3)).min() > 0.01
    np.testing.assert_array_equal(moved(Moves()), together)


def test_a_bright_spot_goes_where_it_is_said():
    images = np.zeros((50, 21, 21, 1), np.float32)
    images[:, 10, 10] = 1
    found = moved(Moves(0, 0.2, 0, 0), images)
    rows, columns = np.mgrid[:21, :21]
    for image, (_, _, right, _, _, down, *_) in zip(found[..., 0], Moves(0, 0.2, 0, 0).draw(seeds(50), 21, 21)):
        assert image.sum() == pytest.approx(1, abs=1e-4)
        assert ((image * rows).sum(), (image * columns).sum()) == pytest.approx((10 - down, 10 - right), abs=1e-3)
