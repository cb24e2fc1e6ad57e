"""The pictures: they show what is confused."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from workloads.data.images.sets import Images
from workloads.mnist import pictures

LABELS = np.arange(200) % 10
IMAGES = Images(np.random.default_rng(1).integers(0, 256, (200, 28, 28, 1), np.uint8), LABELS)


def answers(*wrong: int) -> np.ndarray:
    found = LABELS.copy()
    found[list(wrong)] = (found[list(wrong)] + 1) % 10
    return found


def red(path: Path, given: np.ndarray) -> int:
    """Pixels of the red of the errors."""
    pictures.draw_confusion(path, LABELS, given, 10)
    picture = imread(path)
    return int(((picture[..., 0] > 0.3) & (picture[..., 1] < 0.2)).sum())


def test_errors_are_red_and_right_answers_are_not(tmp_path: Path):
    none, one, more = (red(tmp_path / "confusion.png", answers(*wrong)) for wrong in ((), (3,), (3, 4, 5)))
    assert none == 0
    assert more > 2 * one > 0


def test_a_picture_for_each_wrong_answer_up_to_the_most(tmp_path: Path):
    heights, dark = [], []
    for wrong in ((), (3,), range(9), range(pictures.MOST), range(3 * pictures.MOST)):
        path = tmp_path / "misclassified.png"
        pictures.draw_misclassified(path, IMAGES, answers(*wrong), np.linspace(0.5, 1, 200))
        picture = imread(path)
        heights.append(picture.shape[0])
        dark.append(int((picture[50:, :, 0] < 0.5).sum()))
    assert heights[0] == heights[1] < heights[2] < heights[3] == heights[4]
    assert dark[0] == 0
    # Half of the pixels of a random image are dark.
    assert dark[2] / dark[1] == pytest.approx(9, rel=0.2)
    assert dark[3] / dark[1] == pytest.approx(pictures.MOST, rel=0.2)
