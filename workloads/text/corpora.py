"""Texts and their classes, from text files or from Keras's npz archives.

Layouts
-------
A folder with a text file for each class, a text in each line.
imdb.npz: arrays x_train, y_train, x_test, y_test; reuters.npz: x, y. Each element of x is a list of numbers of words, 1
for the most frequent word, each of y the number of a class. <name>_word_index.json beside it, {word: number}, is
optional. As Keras (keras.datasets) distributes them.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from launch.errors import Refusal
from workloads.data import arrays
from workloads.data.folds import divide

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")  # a word or a number, with its apostrophes, or a punctuation mark
REST = re.compile(r"read.?me|licen[cs]e", re.IGNORECASE)  # files that are beside those of the classes
KERAS_SEED, KERAS_TESTED = 113, 0.2  # how keras.datasets.reuters divides an archive that is in one piece
LAYOUTS = "give --data a folder with a text file for each class, or Keras's imdb.npz or reuters.npz"


class Texts(NamedTuple):
    """Texts as numbers of words, and the class of each.

    Parameters
    ----------
    words : list of ndarray of int64, (words of the text,)
        From 0; none is empty.
    labels : ndarray of int64, (N,)
        From 0.
    """

    words: list[np.ndarray]
    labels: np.ndarray

    def of(self, index: np.ndarray) -> Texts:
        """Some of the texts, by their index."""
        return Texts([self.words[place] for place in index], self.labels[index])


class Corpus(NamedTuple):
    """Texts to learn from, and those to measure on where the set has some.

    Parameters
    ----------
    classes : list of str
        Their names.
    vocabulary : list of str
        The word of each number.
    """

    train: Texts
    test: Texts | None
    classes: list[str]
    vocabulary: list[str]

    def split(self, folds: int, fold: int | None, seed: int) -> tuple[Texts, Texts]:
        """What to learn from and what to measure on: a fold of what there is to learn from, or the set's own part.

        Raises
        ------
        Refusal
            If there are fewer texts than folds.
        """
        if fold is None and self.test:
            return self.train, self.test
        learned, held = divide(len(self.train.words), folds, fold or 0, seed)
        return self.train.of(learned), self.train.of(held)


def read(path: Path, encoding: str = "") -> Corpus:
    """Read a set, and check all of it.

    Parameters
    ----------
    path : Path
        A folder with a text file for each class, an .npz file or a folder with one.
    encoding : str
        Of the text files; by default UTF-8 or UTF-16 if they are that, and otherwise Windows-1252, which has all
        characters of Latin-1.

    Raises
    ------
    Refusal
        If the set does not exist, is empty, was cut short, or has what cannot be learned from.
    """
    try:
        if not path.is_dir():
            there = [path] if path.is_file() else []
        else:
            there = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if archives := [file for file in there if file.suffix == ".npz"]:
            if len(archives) > 1:
                raise Refusal(f"{path} has {', '.join(a.name for a in archives)}: give --data one of the files")
            corpus = _archive(archives[0])
        elif path.is_dir():
            corpus = _files(path, [file for file in there if not REST.search(file.name)], encoding)
        else:
            raise Refusal(f"{path} is {'not an .npz file' if there else 'not there'}: {LAYOUTS}")
    except OSError as error:
        raise Refusal(f"{error.filename or path} cannot be read ({error.strerror or error}): {LAYOUTS}") from None
    _refuse_missing_classes(path, corpus)
    return corpus


def _refuse_missing_classes(path: Path, corpus: Corpus) -> None:
    counts = np.bincount(corpus.train.labels, minlength=len(corpus.classes))
    if len(counts) < 2:
        raise Refusal(f"{path} has one class, and there is nothing to tell apart: give two or more")
    if not counts.all():
        raise Refusal(
            f"{path} has the classes 0 to {len(counts) - 1}, and no text of class {np.argmin(counts > 0)} to learn "
            "from: number the classes without a gap, from 0"
        )


def _files(folder: Path, files: Sequence[Path], encoding: str) -> Corpus:
    if len(files) < 2:
        raise Refusal(f"{folder} has {len(files)} text files: {LAYOUTS}")
    numbers: dict[str, int] = {}
    words, labels = [], []
    for label, file in enumerate(files):
        lines = re.split(r"\r\n|\n|\r", decoded(file, encoding))  # str.splitlines ends a line at other characters too
        texts = [found for line in lines if (found := WORD.findall(line.lower()))]
        if not texts:
            raise Refusal(f"{file} has no text: give a file with a text in each line")
        words += [np.array([numbers.setdefault(word, len(numbers)) for word in text]) for text in texts]
        labels += [label] * len(texts)
    return Corpus(Texts(words, np.array(labels)), None, _names(files), list(numbers))


def _names(files: Sequence[Path]) -> list[str]:
    """Of the classes: what differs in the names of the files."""
    for names in ([file.stem for file in files], [file.suffix[1:] for file in files]):
        if len(set(names)) == len(files) and all(names):
            return names
    return [file.name for file in files]


def decoded(file: Path, encoding: str = "") -> str:
    """The text of a file.

    Raises
    ------
    Refusal
        If it has another encoding, or is not text.
    """
    content = file.read_bytes()
    marks = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
    marked = next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding or marked)
    except LookupError:
        raise Refusal(f"--encoding {encoding} is not known to Python: give utf-8, latin-1, cp1252, ...") from None
    except ValueError as error:
        wrong = f"{file} is not {encoding or marked} ({error}): was it cut short? if not, give its --encoding"
        if encoding or marked != "utf-8" or re.search(r"[^\0-\x7f]", content.decode("utf-8", "ignore")):
            raise Refusal(wrong) from None  # where some characters are UTF-8, the others are damaged
        text = content.decode("cp1252", "replace")
    if "\0" in text:
        raise Refusal(f"{file} is not text, or has another encoding: give text files alone, or their --encoding")
    return text


def _archive(path: Path) -> Corpus:
    try:
        with zipfile.ZipFile(path) as archive:
            found = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    except Exception as error:  # a damaged archive can raise anything
        raise Refusal(f"{path} cannot be read as an npz archive ({error}): fetch it again") from None
    parts = [("x_train", "y_train"), ("x_test", "y_test")] if "x_train" in found else [("x", "y")]
    if missing := [name for part in parts for name in part if name not in found]:
        raise Refusal(
            f"{path} has no {', '.join(missing)}: name its arrays as Keras does, x_train, y_train, x_test, y_test or x, y"
        )
    train, test = (*(_texts(path, found, *part) for part in parts), None)[:2]
    if test is None:  # divided as keras.datasets.reuters divides it, so that accuracies can be compared
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
            values.append(arrays.npy(found[name]))
        except Exception as error:  # a damaged pickle can raise anything
            raise Refusal(f"{path}, {name}, cannot be read as an array ({error}): fetch it again") from None
    rows, labels = values
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.size != len(labels):
        raise Refusal(f"{path}, {y}, is {_kind(labels)}: give the number of the class of each text")
    if not isinstance(rows, np.ndarray) or rows.ndim not in (1, 2) or rows.dtype.kind not in "iuO":
        raise Refusal(f"{path}, {x}, is {_kind(rows)}: give a list of numbers of words for each text")
    if len(rows) != len(labels) or not len(rows):
        raise Refusal(f"{path} has {len(rows)} texts in {x} and {len(labels)} classes in {y}: give as many of each")
    if labels.min() < 0:
        raise Refusal(f"{path}, {y}, has the class {labels.min()}: number the classes from 0")
    return Texts(list(_numbers(f"{path}, {x}", rows)), labels.ravel().astype(np.int64))


def _numbers(where: str, rows: np.ndarray) -> Iterator[np.ndarray]:
    for place, row in enumerate(rows):
        try:
            text = np.asarray(row)
        except ValueError:  # lists of several lengths within it
            text = np.empty(0, object)
        if text.ndim != 1 or len(text) and text.dtype.kind not in "iu":
            raise Refusal(f"{where}, text {place}, is not a list of whole numbers: give the numbers of its words")
        text = text[text != 0] if rows.ndim == 2 else text  # 0 fills up the rows of a table
        if not len(text):
            raise Refusal(f"{where}, text {place}, has no words: leave it out")
        if text.min() < 0 or text.max() > 10_000_000:
            raise Refusal(f"{where}, text {place}, has the word {text.min() if text.min() < 0 else text.max()}: "
                          "number the words from 1, by how frequent they are")  # fmt: skip
        yield text.astype(np.int64)


def _vocabulary(path: Path, largest: int) -> list[str]:
    """The words of all numbers; those that no index has are written as numbers."""
    words = [f"#{number}" for number in range(largest + 1)]
    index = path.with_name(f"{path.stem}_word_index.json")
    if index.is_file():
        try:
            for word, number in json.load(BytesIO(index.read_bytes())).items():
                if 0 <= number <= largest:
                    words[number] = word
        except (ValueError, AttributeError, TypeError, IndexError) as error:
            raise Refusal(f"{index} is not an index of words ({error}): give {{word: number}} or no such file") from None
    return words


def _kind(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}"
    return f"an array of shape {' x '.join(map(str, value.shape)) or '()'} and type {value.dtype}"
