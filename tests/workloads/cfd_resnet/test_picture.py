"""The picture: it shows the flows that it is given, and the difference."""

from pathlib import Path

import creeping
import numpy as np
from matplotlib.image import imread

from workloads.cfd_resnet import picture

FLOWS = creeping.flows(3)


def drawn(path: Path, predicted: np.ndarray, most: int = 4) -> np.ndarray:
    picture.draw(path, FLOWS.mask, FLOWS.flow, predicted, most)
    return imread(path)[..., :3]


def test_what_is_predicted_is_what_is_shown(tmp_path: Path):
    right, wrong = (drawn(tmp_path / f"{factor}.png", factor * FLOWS.flow) for factor in (1, 0.5))
    assert right.shape == wrong.shape
    changed = np.abs(right - wrong).max(axis=(0, 2)) > 0.1  # by column of the picture
    quarter = len(changed) // 4
    assert changed[2 * quarter : 3 * quarter].mean() > 0.5
    assert changed[3 * quarter :].mean() > 0.5


def test_a_row_for_each_flow_up_to_the_most(tmp_path: Path):
    heights = [drawn(tmp_path / f"{most}.png", FLOWS.flow, most).shape[0] for most in (1, 2, 3, 9)]
    assert heights[0] < heights[1] < heights[2] == heights[3]
