"""Texts and their classes: what a set of them is, and how it is read from text files, a text in each line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from launch.errors import Refusal
from workloads.data.folds import divide

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")  # a word or a number, with its apostrophes, or a punctuation mark
REST = re.compile(r"read.?me|licen[cs]e", re.IGNORECASE)  # files that are not those of a class
LAYOUTS = "give --data a folder with a text file for each class, or Keras's imdb.npz or reuters.npz"


class Texts(NamedTuple):
    """Texts as numbers of words, and the class of each.

    Parameters
    ----------
    words : list of ndarray of int64, (words of the text,)
        Numbers of the words of each text, from 0; no text is empty.
    labels : ndarray of int64, (N,)
        Number of the class of each text, from 0.
    """

    words: list[np.ndarray]
    labels: np.ndarray

    def of(self, index: np.ndarray) -> Texts:
        """Return some of the texts, by their index."""
        return Texts([self.words[place] for place in index], self.labels[index])


class Corpus(NamedTuple):
    """Texts to learn from, and those to measure on where the set has some.

    Parameters
    ----------
    classes : list of str
        Names of the classes.
    vocabulary : list of str
        Word of each number.
    """

    train: Texts
    test: Texts | None
    classes: list[str]
    vocabulary: list[str]

    def split(self, folds: int, fold: int | None, seed: int) -> tuple[Texts, Texts]:
        """Return texts to learn from and to measure on: a fold of the training texts, or the set's own part.

        Raises
        ------
        Refusal
            If there are fewer texts than folds, or texts of one class alone are left to learn from.
        """
        if fold is None and self.test:
            return self.train, self.test
        fold = fold or 0
        learned, held = (self.train.of(part) for part in divide(len(self.train.words), folds, fold, seed))
        if len(np.unique(learned.labels)) < 2:
            raise Refusal(
                f"fold {fold} of {folds} leaves texts of one class to learn from: give more of the others, or other "
                "--folds"
            )
        return learned, held


def read(path: Path, encoding: str = "") -> Corpus:
    """Read a set, and check all of it.

    Parameters
    ----------
    path : Path
        A folder with a text file for each class, an .npz file or a folder with one.
    encoding : str
        Encoding of the text files; by default UTF-8 or UTF-16 if they are that, and otherwise Windows-1252, which has
        all characters of Latin-1.

    Raises
    ------
    Refusal
        If the set does not exist, is empty, was cut short, or cannot be learned from.
    """
    from workloads.text import archive

    try:
        if not path.is_dir():
            there = [path] if path.is_file() else []
        else:
            there = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if archives := [file for file in there if file.suffix == ".npz"]:
            if len(archives) > 1:
                raise Refusal(f"{path} has {', '.join(a.name for a in archives)}: give --data one of the files")
            corpus = archive.read(archives[0])
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
    """Return the names of the classes: the part in which the names of the files differ."""
    for names in ([file.stem for file in files], [file.suffix[1:] for file in files]):
        if len(set(names)) == len(files) and all(names):
            return names
    return [file.name for file in files]


def decoded(file: Path, encoding: str = "") -> str:
    """Return the text of a file.

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
