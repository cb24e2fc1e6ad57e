"""What an image set is: images to train on and to measure on, checked before they are used."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from launch.errors import Refusal


class Images(NamedTuple):
    """Some images and what they show.

    Parameters
    ----------
    pixels : ndarray of uint8, (N, H, W, C)
        Pixels of each image; C is 1 or 3.
    labels : ndarray of int64, (N,)
        Class of each image.
    """

    pixels: np.ndarray
    labels: np.ndarray


class ImageSet(NamedTuple):
    """Training images, and others of the same shape to measure on.

    Parameters
    ----------
    train, validation : Images
        Images to train on, and images to measure on.
    classes : int
        Number of classes: labels are 0 to ``classes - 1``.
    name : str
        Name of the set, as "MNIST", if it is known and complete: published accuracies are those of such sets. Otherwise
        empty.
    """

    train: Images
    validation: Images
    classes: int
    name: str = ""


class Part(NamedTuple):
    """What a reader has found for one part of a set, not checked yet.

    Parameters
    ----------
    source : str
        Where the part was read from, for messages.
    pixels, labels : ndarray
        Arrays as they were stored.
    """

    source: str
    pixels: np.ndarray
    labels: np.ndarray


class Found(NamedTuple):
    """What a reader has found: both parts, and the number of classes if the layout says it, otherwise 0."""

    train: Part
    validation: Part
    classes: int = 0


def checked(part: Part, classes: int) -> Images:
    """Return the images of a part, checked, with a channel axis.

    Raises
    ------
    Refusal
        If they cannot be learned from: other than uint8, of another shape, or with labels that are not classes.
    """
    where, pixels, labels = part
    if pixels.dtype != np.uint8 or not (pixels.ndim == 3 or pixels.ndim == 4 and pixels.shape[-1] in (1, 3)):
        raise Refusal(
            f"{where}: images of shape {by(pixels.shape)} and type {pixels.dtype}: "
            "give uint8, (N, H, W) or (N, H, W, 1 or 3)"
        )
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels  # as in Keras' CIFAR
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise Refusal(f"{where}: labels of shape {by(labels.shape)} and type {labels.dtype}: give whole numbers, (N,)")
    if len(pixels) != len(labels):
        raise Refusal(f"{where}: {len(pixels)} images and {len(labels)} labels: give as many of each")
    if not pixels.size:
        raise Refusal(f"{where}: there are no images: give some")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise Refusal(
            f"{where}: label {labels[outside[0]]} of image {outside[0]} is not one of the {classes} classes "
            f"0 to {classes - 1}: give --classes, or fix the labels"
        )
    return Images(pixels if pixels.ndim == 4 else pixels[..., None], labels.astype(np.int64))


def held_out(images: ImageSet, count: int) -> ImageSet:
    """Measure on the last training images, and train on those before them: the test images are not for choosing.

    Parameters
    ----------
    images : ImageSet
        The set as it was published.
    count : int
        Number of images to measure on.

    Raises
    ------
    Refusal
        If no image is left to train on.
    """
    there = len(images.train.labels)
    if count >= there:
        raise Refusal(f"--hold-out {count} leaves nothing of {there} training images to learn from: give fewer")
    train, held = (Images(*(array[part] for array in images.train)) for part in (slice(-count), slice(-count, None)))
    return ImageSet(train, held, images.classes)


def by(shape: tuple[int, ...]) -> str:
    """Return a shape in words."""
    return " x ".join(map(str, shape)) or "one value"
