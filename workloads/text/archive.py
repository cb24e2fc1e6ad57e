"""Texts from the archives of Keras (keras.datasets), imdb.npz and reuters.npz, and others in their layout.

Layout
------
Arrays x_train, y_train, x_test, y_test, or x, y. Each element of an x is a list of numbers of words, 1 for the most
frequent word; or x is a table of numbers, whose rows are filled up with 0. Each of a y is the number of a class.
<name>_word_index.json beside it, {word: number}, is optional.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from launch.errors import Refusal
from workloads.data import pickles
from workloads.text.corpora import Corpus, Texts

KERAS_SEED, KERAS_TESTED = 113, 0.2  # how keras.datasets.reuters divides an archive that is in one piece
LARGEST = 1_000_000  # largest number of a word or a class, as tables have an entry for each number


def read(path: Path) -> Corpus:
    """Read an archive, and check all of it, except that no class is missing.

    Raises
    ------
    Refusal
        If it is damaged, or its arrays are not texts and classes.
    """
    try:
        found = pickles.npz(path)
    except pickles.Unreadable as error:
        raise Refusal(f"{path} cannot be read as an npz archive ({error}): fetch it again") from None
    parts = [("x_train", "y_train"), ("x_test", "y_test")] if "x_train" in found else [("x", "y")]
    if missing := [name for part in parts for name in part if name not in found]:
        raise Refusal(
            f"{path} has no {', '.join(missing)}: name its arrays as Keras does, x_train, y_train, x_test, y_test, "
            "or x, y"
        )
    train, *tests = (_texts(path, found, *part) for part in parts)
    if tests:
        (test,) = tests
    else:  # divided as keras.datasets.reuters divides it, so that accuracies can be compared
        order = np.arange(len(train.words))
        np.random.RandomState(KERAS_SEED).shuffle(order)
        learned = int(len(order) * (1 - KERAS_TESTED))
        train, test = train.of(order[:learned]), train.of(order[learned:])
    if not len(test.words):
        raise Refusal(f"{path} has {len(train.words)} texts to learn from and none to measure on: give more")
    largest = max(int(text.max()) for text in train.words + test.words)
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    return Corpus(train, test, [str(label) for label in range(classes)], _vocabulary(path, largest))


def _texts(path: Path, found: dict[str, bytes], x: str, y: str) -> Texts:
    values = []
    for name in (x, y):
        try:
            values.append(pickles.npy(found[name]))
        except pickles.Unreadable as error:
            raise Refusal(f"{path}, {name}, cannot be read as an array ({error}): fetch it again") from None
    rows, labels = values
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.shape[:1] != (labels.size,):
        raise Refusal(f"{path}, {y}, is {_kind(labels)}: give the number of the class of each text")
    if not isinstance(rows, np.ndarray) or rows.ndim not in (1, 2) or rows.dtype.kind not in "iuO":
        raise Refusal(f"{path}, {x}, is {_kind(rows)}: give a list of numbers of words for each text")
    if len(rows) != len(labels) or not len(rows):
        raise Refusal(f"{path} has {len(rows)} texts in {x} and {len(labels)} classes in {y}: give as many of each")
    if labels.min() < 0 or labels.max() > LARGEST:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise Refusal(f"{path}, {y}, has the class {wrong}: number the classes from 0, without a gap")
    return Texts(list(_numbers(f"{path}, {x}", rows)), labels.ravel().astype(np.int64))


def _numbers(where: str, rows: np.ndarray) -> Iterator[np.ndarray]:
    for place, row in enumerate(rows):
        try:
            text = np.asarray(row)
        except ValueError:  # it contains lists of different lengths
            text = np.array(None)
        if text.ndim != 1 or len(text) and text.dtype.kind not in "iu":
            raise Refusal(f"{where}, text {place}, is not a list of whole numbers: give the numbers of its words")
        text = text[text != 0] if rows.ndim == 2 else text  # 0 fills up the rows of a table
        if not len(text):
            raise Refusal(f"{where}, text {place}, has no words: leave it out")
        if text.min() < 0 or text.max() > LARGEST:
            raise Refusal(f"{where}, text {place}, has the word {text.min() if text.min() < 0 else text.max()}: "
                          "number the words from 1, by how frequent they are")  # fmt: skip
        yield text.astype(np.int64)


def _vocabulary(path: Path, largest: int) -> list[str]:
    """Return the word of each number, or ``#number`` where the index has no word."""
    words = [f"#{number}" for number in range(largest + 1)]
    index = path.with_name(f"{path.stem}_word_index.json")
    if index.is_file():
        try:
            for word, number in json.loads(index.read_bytes()).items():
                if 0 <= number <= largest:
                    words[number] = word
        except (ValueError, AttributeError, TypeError, IndexError) as error:
            raise Refusal(
                f"{index} is not an index of words ({error}): give {{word: number}} or no such file"
            ) from None
    return words


def _kind(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}"
    return f"an array of shape {' x '.join(map(str, value.shape)) or '()'} and type {value.dtype}"
