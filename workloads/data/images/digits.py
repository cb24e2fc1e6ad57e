"""The digits that come with scikit-learn: real handwriting, for a first run without any file.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998: its
test part, 1,797 digits by 13 people, 8 x 8 pixels of 0 to 16. They are not MNIST.
"""

from __future__ import annotations

import numpy as np

from launch.errors import Refusal
from workloads.data.images.sets import Images, ImageSet

TRAIN = 1500  # the first digits; the people who wrote the others wrote few of these, if any


def digits() -> ImageSet:
    """Return the digits as images of MNIST's shape: each pixel drawn as 3 x 3, with a border of 2.

    Raises
    ------
    Refusal
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise Refusal(
            "without --data the digits of scikit-learn are learned, and scikit-learn is not installed: "
            "give --data FOLDER with MNIST's four idx files, or pip install scikit-learn"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    grey = np.rint(np.reshape(pixels, (-1, 8, 8)) * (255 / 16)).astype(np.uint8)
    pixels = np.pad(np.kron(grey, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2)))[..., None]
    labels = np.asarray(labels, np.int64)
    return ImageSet(Images(pixels[:TRAIN], labels[:TRAIN]), Images(pixels[TRAIN:], labels[TRAIN:]), 10)
