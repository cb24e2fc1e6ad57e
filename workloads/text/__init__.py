"""Texts -> their classes: an average of word vectors, LSTMs, and a transformer.

    python -m launch workloads.text --data FOLDER --network bilstm
    python -m launch --name texts --sweep network=embedding,lstm,bilstm,transformer --sweep fold=0..9 \
        workloads.text --data FOLDER
    python -m workloads.text.comparison runs/texts

FOLDER has a text file for each class, with a text in each line, or is one of Keras's npz archives. Texts without a part
to measure on are divided into folds; the sweep makes a cross-validation, and the last line its table. A run ends with
the accuracy on what it has not seen, beside that of logistic regression on the same words, and with figures/errors.txt.
See docs/workloads/text.md.

Data: a folder with a text file for each class, or Keras's imdb.npz or reuters.npz
Time: a minute for one of 10 folds of 10,000 sentences, 3 for an LSTM
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from launch.errors import Refusal
from launch.plan.typed import Count, Natural, Positive
from workloads.api import Data, Part, Training, Workload
from workloads.data.folds import Folds, refuse_other

if TYPE_CHECKING:
    import keras
    import numpy as np

    from launch.node.rank import Rank
    from workloads.text.corpora import Texts

UNKNOWN = 1  # number that stands for any word that the network does not know; 0 pads short texts
LONGEST = 400  # words of a text that are read, at most, if --length is not given


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Config(Training):
    """The defaults are the recipe for every network on some thousand sentences."""

    epochs: Positive = 4  # passes over the training set at one rank
    batch: Count = 50  # examples per rank per step
    lr: Positive = 3e-3  # learning rate of Adam at one rank
    network: Literal["embedding", "lstm", "bilstm", "transformer"] = "embedding"  # what is made of the word vectors
    data: Path | None = None  # folder with a text file for each class, or Keras's imdb.npz or reuters.npz
    encoding: str = ""  # of the text files; not given: UTF-8 or UTF-16 if they are that, otherwise Windows-1252
    folds: Folds = 10  # parts into which texts are divided
    fold: Natural | None = None  # the part, from 0, on which is measured; the others are learned from. Not given: the
    # set's own part to measure on, or part 0 where it has none
    split_seed: Natural = 0  # of the shuffling before the texts are divided, the same for all folds
    words: Count = 20_000  # most frequent words of the training texts that are known
    least: Count = 2  # times that a word occurs in the training texts to be known, at least
    length: Natural = 0  # words of a text that are read, its last ones; 0: those of the longest one, but at most 400
    width: Count = 100  # length of the vector of a word
    units: Count = 64  # of an LSTM
    heads: Count = 4  # of the transformer's attention
    drop_words: Part = 0.3  # part of the words of a text that each step leaves out
    dropout: Part = 0.5  # part of the units that each step leaves out

    def __post_init__(self) -> None:
        Training.__post_init__(self)
        if self.fold is not None:
            refuse_other(self.fold, self.folds)

    def describe(self, size: int) -> dict[str, str]:
        """Return the loop's lines of the plan, and those on network and data.

        Raises
        ------
        Refusal
            If there are no data, or for the same reasons as `Training.describe`.
        """
        if not self.data:
            raise Refusal("workloads.text learns from files: give --data FOLDER, with a text file for each class")
        measured = f"fold {self.fold} of {self.folds}"
        own = f"the set's own part, or on fold 0 of {self.folds} where it has none"
        return Training.describe(self, size) | {
            "network": self.network,
            "data": f"{self.data}, measured on {own if self.fold is None else measured}",
        }


def build(config: Config, rank: Rank) -> Workload:
    """Build the network, its loss and the texts.

    Raises
    ------
    Refusal
        If there are no data, they are damaged, or there are fewer texts than folds.
    """
    import keras
    import numpy as np
    from keras import ops

    from workloads.text import comparison, corpora
    from workloads.text.networks import network

    config.describe(rank.size)
    assert config.data
    corpus = corpora.read(config.data, config.encoding)
    train, held = corpus.split(config.folds, config.fold, config.split_seed)
    length = config.length or min(max(map(len, train.words)), LONGEST)
    known = numbering(train, len(corpus.vocabulary), config.words, config.least)
    classes = len(corpus.classes)

    def loss(labels: Any, logits: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    def statistics(labels: Any, logits: Any) -> dict[str, Any]:
        right = ops.equal(ops.cast(ops.argmax(logits, axis=1), "int64"), ops.cast(labels, "int64"))
        return {"right": ops.sum(ops.cast(right, "float32"))}

    def finish(model: keras.Model, figures: Path) -> dict[str, float]:
        inputs = encoded(held, known, length)
        batches = [inputs[first : first + config.batch] for first in range(0, len(inputs), config.batch)]
        logits = np.concatenate([np.asarray(model(each, training=False), np.float64) for each in batches])
        comparison.list_errors(figures / "errors.txt", held, logits, corpus)
        return comparison.bag_of_words(train, held, len(corpus.vocabulary))

    def part(texts: Texts) -> Data:
        inputs, labels = encoded(texts, known, length), texts.labels
        return Data(len(labels), lambda index: (inputs[index], labels[index]))

    return Workload(
        model=network(config, int(known.max()) + 1, length, classes),
        loss=loss,
        optimizer=keras.optimizers.Adam,
        train=part(train),
        validation=part(held),
        statistics=statistics,
        summarise=lambda totals, examples: {"accuracy": float(totals["right"]) / examples},
        finish=finish,
    )


def numbering(train: Texts, vocabulary: int, words: int, least: int) -> np.ndarray:
    """Return the number that each word has for the network; texts that are held out do not count.

    Parameters
    ----------
    train : Texts
        Texts whose words are counted.
    vocabulary : int
        Number of different words in the set.
    words, least : int
        Highest number of words that the network knows, and least number of times that each of them occurs.

    Returns
    -------
    ndarray of int32, (vocabulary,)
        2 for the most frequent word, and so on; `UNKNOWN` for words that are not known.
    """
    import numpy as np

    counts = np.bincount(np.concatenate(train.words), minlength=vocabulary)
    known = np.argsort(-counts, kind="stable")[:words]
    known = known[counts[known] >= least]
    numbers = np.full(vocabulary, UNKNOWN, np.int32)
    numbers[known] = np.arange(UNKNOWN + 1, UNKNOWN + 1 + len(known))
    return numbers


def encoded(texts: Texts, known: np.ndarray, length: int) -> np.ndarray:
    """Return the last words of each text as numbers for the network, int32 (N, length), with 0 behind short texts."""
    import numpy as np

    rows = np.zeros((len(texts.words), length), np.int32)
    for row, words in zip(rows, texts.words):
        row[: len(words[-length:])] = known[words[-length:]]
    return rows
