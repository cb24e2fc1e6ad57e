"""Small sets of texts in the layouts of workloads.text."""

import json
from pathlib import Path
from typing import Any

import numpy as np


def files(folder: Path, count: int = 40) -> Path:
    """A file for each of two classes, which a word of each text tells apart."""
    random = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for name, word in (("a.txt", "dull"), ("b.txt", "bright")):
        texts = [[*random.choice(["film", "plot", "it's", "was"], random.integers(2, 6)), word] for _ in range(count)]
        (folder / name).write_text("\n".join(" ".join(random.permutation(text)) for text in texts))
    return folder


def lists(texts: list[Any]) -> np.ndarray:
    """An array of objects, as Keras's archives have them."""
    found = np.empty(len(texts), object)
    found[:] = texts
    return found


def archive(path: Path, index: Any = None, **changed: Any) -> Path:
    """As imdb.npz; words above 5 tell the classes apart."""
    random = np.random.default_rng(0)
    labels = np.arange(30) % 3
    texts = lists(
        [
            [int(word) for word in random.integers(1, 5, random.integers(1, 7))] + [6 + label]
            for label in labels.tolist()
        ]
    )
    arrays = {"x_train": texts, "y_train": labels, "x_test": texts[:9], "y_test": labels[:9]} | changed
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    if index is not None:
        path.with_name(f"{path.stem}_word_index.json").write_text(
            index if isinstance(index, str) else json.dumps(index)
        )
    return path
