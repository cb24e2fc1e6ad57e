"""What a network is compared with on the same texts, and the table of a study.

python -m workloads.text.comparison STUDY [STUDY ...]      of a sweep over network and fold

Logistic regression knows of each word whether a text has it (scikit-learn, an L2 penalty with C = 1), and knows all
words of the training texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from launch import errors
from launch.record.table import aligned
from workloads.data.folds import standard_error
from workloads.text import Config
from workloads.text.corpora import Corpus, Texts
from workloads.training.studies import Finished, print_table

BAG = "accuracy_bag_of_words"
SHOWN = 40  # errors listed at most


def bag_of_words(train: Texts, held: Texts, vocabulary: int) -> dict[str, float]:
    """Return the accuracy of logistic regression, or nothing if scikit-learn is not installed.

    Parameters
    ----------
    train, held : Texts
        Texts to learn from, and texts to measure on.
    vocabulary : int
        Number of different words in the set.
    """
    try:
        from scipy.sparse import csr_matrix
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        return {}

    def bags(texts: Texts) -> csr_matrix:
        words = [np.unique(text) for text in texts.words]
        ends = np.cumsum([0, *map(len, words)])
        return csr_matrix((np.ones(ends[-1]), np.concatenate(words), ends), (len(words), vocabulary))

    model = LogisticRegression(solver="newton-cg", max_iter=1000).fit(bags(train), train.labels)
    return {BAG: float(model.score(bags(held), held.labels))}


def list_errors(path: Path, held: Texts, logits: np.ndarray, corpus: Corpus) -> None:
    """Write the wrong answers of which the network was most certain: class, answer, its probability, the text.

    Parameters
    ----------
    path : Path
        Path of the text file.
    held : Texts
        Texts that were measured on.
    logits : ndarray, (texts, classes)
        The network's answers.
    corpus : Corpus
        The names of the classes, and the words.
    """
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers, certain = logits.argmax(axis=1), 1 / exponents.sum(axis=1)  # of the answers, whose exponential is 1
    wrong = np.flatnonzero(answers != held.labels)
    lines = [f"{len(wrong)} of {len(held.labels)} texts have another class than the network says"]
    for place in wrong[np.argsort(-certain[wrong], kind="stable")][:SHOWN]:
        text = " ".join(corpus.vocabulary[word] for word in held.words[place])
        actual, answer = (corpus.classes[label] for label in (held.labels[place], answers[place]))
        lines.append(f"{actual}, not {answer} ({certain[place]:.0%}): {text}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(rows: Sequence[Finished]) -> str:
    """Return a line for each network: the mean accuracy of its runs, and its difference from the bags of words.

    The number after ``+-`` is the standard error of the mean over the runs, each of which is compared on its own texts.
    """
    lines = [["network", "runs", "epochs", "accuracy, %", "bag of words, %", "difference, points"]]
    for key in sorted({(row.config.network, row.config.epochs) for row in rows}):
        of_network = [row.metrics for row in rows if (row.config.network, row.config.epochs) == key]
        values = 100 * np.array([[m["accuracy"], m.get(BAG, np.nan)] for m in of_network])
        values = np.c_[values, values[:, 0] - values[:, 1]]
        spread = standard_error(values) if len(values) > 1 else np.full(3, np.nan)
        cells = [f"{mean:{sign}.2f}" + (f" +- {error:.2f}" if error == error else "") if mean == mean else "not known"
                 for mean, error, sign in zip(values.mean(axis=0), spread, ("", "", "+"))]  # fmt: skip
        lines.append([key[0], str(len(values)), f"{key[1]:g}", *cells])
    return aligned(lines, "<>")


def main(argv: Sequence[str]) -> None:
    """Print the table; see `workloads.training.studies.print_table`."""
    print_table(argv, str(__doc__), Config, "workloads.text", ("accuracy",), table)


if __name__ == "__main__":
    errors.run(main)
