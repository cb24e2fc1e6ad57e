"""Texts: both layouts, what is refused, what each network sees, 1 rank against 2, and the table."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks
from launched import launch
from small_texts import archive, files, lists

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.record.rundir import RunDir
from workloads.text import Config, comparison, corpora, encoded, numbering
from workloads.text.corpora import Texts
from workloads.training.studies import Finished


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_lines_of_text_files_in_any_encoding(tmp_path: Path, encoding: str):
    """U+0085, which str.splitlines takes for the end of a line, is within one in the sentences of Pang and Lee."""
    (tmp_path / "rt.neg").write_bytes("Déjà vu , it's \x85 DULL\r\n\r\n   \r\nso-so".encode(encoding, "replace"))
    (tmp_path / "rt.pos").write_bytes("bright\nnaïve!\rlovely\n\n".encode(encoding))
    (tmp_path / "README.txt").write_text("about it")
    (tmp_path / ".hidden").write_text("x")
    corpus = corpora.read(tmp_path)
    texts = [" ".join(corpus.vocabulary[word] for word in text) for text in corpus.train.words]
    assert corpus.classes == ["neg", "pos"] and corpus.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert texts[0].startswith("déjà vu , it's") and texts[0].endswith("dull")
    assert texts[1:] == ["so - so", "bright", "naïve !", "lovely"]


def test_the_archives_of_keras(tmp_path: Path):
    corpus = corpora.read(archive(tmp_path / "imdb.npz", {"the": 1, "dull": 6, "beyond": 99}))
    assert len(corpus.train.words) == 30 and corpus.test and len(corpus.test.words) == 9
    assert corpus.classes == ["0", "1", "2"] and [corpus.vocabulary[n] for n in (1, 2, 6)] == ["the", "#2", "dull"]
    assert corpus.train.words[1][-1] == 7 and corpus.train.labels[1] == 1
    own, fold = corpus.split(10, None, 0), corpus.split(10, 3, 0)
    assert own == (corpus.train, corpus.test) and [len(part.words) for part in fold] == [27, 3]

    (tmp_path / "reuters").mkdir()  # in one piece, which Keras divides
    texts, labels = lists([[n + 1] for n in range(50)]), np.arange(50) % 2
    whole = {"x_train": None, "y_train": None, "x_test": None, "y_test": None, "x": texts, "y": labels}
    archive(tmp_path / "reuters" / "reuters.npz", **whole)
    found = corpora.read(tmp_path / "reuters")
    order = np.arange(50)
    np.random.RandomState(113).shuffle(order)
    assert found.test and [int(text[0]) for text in found.test.words] == (order[40:] + 1).tolist()


def test_tables_of_numbers_are_texts_filled_up_with_zeros(tmp_path: Path):
    table = np.array([[0, 0, 3], [1, 2, 0]] * 15)
    corpus = corpora.read(archive(tmp_path / "set.npz", x_train=table, y_train=np.arange(30)[:, None] % 3))
    assert [text.tolist() for text in corpus.train.words[:2]] == [[3], [1, 2]]


class Calls:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("touched"),))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def damaged(path: Path, name: str) -> None:
    """In a whole archive, an array that was cut short."""
    with zipfile.ZipFile(path) as old:
        found = {each: old.read(each) for each in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for each, content in found.items():
            new.writestr(each, content[:-20] if each == name else content)


WRONG_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda f: None, "is not there: give --data a folder with a text file for each class"),
    "empty folder": (lambda f: f.mkdir(), "has 0 text files"),
    "one class": (lambda f: (files(f) / "a.txt").unlink(), "has 1 text files"),
    "empty file": (lambda f: (files(f) / "a.txt").write_text(""), "a.txt has no text"),
    "empty lines": (lambda f: (files(f) / "a.txt").write_text("\n \n\n"), "a.txt has no text"),
    "binary": (lambda f: (files(f) / "a.txt").write_bytes(bytes(range(128))), "a.txt is not text"),
    "cut utf-8": (lambda f: (files(f) / "a.txt").write_bytes("naïve, déjà".encode()[:-1]), "a.txt is not utf-8"),
    "other file": (lambda f: f.write_text("x"), "is not an .npz file"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_damaged_files_are_refused(name: str, tmp_path: Path):
    damage, line = WRONG_FILES[name]
    damage(tmp_path / "set")
    with pytest.raises(Refusal, match=line):
        corpora.read(tmp_path / "set")


def test_other_encodings(tmp_path: Path):
    for name in ("a.txt", "b.txt"):
        (files(tmp_path) / name).write_bytes("фильм".encode("koi8-r"))
    assert "фильм" in corpora.read(tmp_path, "koi8-r").vocabulary
    with pytest.raises(Refusal, match="--encoding kio8 is not known"):
        corpora.read(tmp_path, "kio8")
    with pytest.raises(Refusal, match="is not ascii"):
        corpora.read(tmp_path, "ascii")


WRONG_ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"y_train": np.full(30, np.nan)}, "y_train, is an array of shape 30 and type float64"),
    "no labels": ({"y_test": None}, "has no y_test"),
    "fewer labels": ({"y_train": np.arange(29) % 3}, "has 30 texts in x_train and 29 classes in y_train"),
    "negative": ({"y_train": np.arange(30) % 3 - 1}, "has the class -1: number the classes from 0"),
    "gap": ({"y_train": 2 * (np.arange(30) % 2)}, "no text of class 1"),
    "other labels": ({"y_test": np.full(9, 7)}, "no text of class 3"),
    "one class": ({"y_train": np.zeros(30, int), "y_test": np.zeros(9, int)}, "has one class"),
    "no texts": ({"x_train": lists([]), "y_train": np.zeros(0, int)}, "has 0 texts"),
    "empty text": ({"x_train": lists([[1]] * 29 + [[]])}, "x_train, text 29, has no words"),
    "float words": ({"x_train": lists([[1]] * 29 + [[np.nan]])}, "text 29, is not a list of whole numbers"),
    "words as text": ({"x_train": lists(["dull"] * 30)}, "text 0, is not a list of whole numbers"),
    "nested": ({"x_train": lists([[1, [2, 3]]] * 30)}, "text 0, is not a list of whole numbers"),
    "strings": ({"x_train": np.array(["dull"] * 30)}, "x_train, is an array of shape 30 and type <U4"),
    "negative word": ({"x_train": lists([[-4]] * 30)}, "has the word -4"),
    "huge word": ({"x_train": lists([[10**12]] * 30)}, "has the word 1000000000000"),
    "a program": ({"x_train": lists([Calls()] * 30)}, "x_train, cannot be read as an array .it wants pathlib"),
    "index": ({"index": "{"}, "set_word_index.json is not an index of words"),
    "other index": ({"index": [1]}, "set_word_index.json is not an index of words"),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_damaged_archives_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    changed, line = WRONG_ARRAYS[name]
    with pytest.raises(Refusal, match=line):
        corpora.read(archive(tmp_path / "set.npz", **changed))
    assert not Path("touched").exists()


def test_archives_that_were_cut_short_or_are_two(tmp_path: Path):
    damaged(archive(tmp_path / "set.npz"), "x_train.npy")
    with pytest.raises(Refusal, match="x_train, cannot be read as an array"):
        corpora.read(tmp_path / "set.npz")
    cut(archive(tmp_path / "set.npz"))
    with pytest.raises(Refusal, match="set.npz cannot be read as an npz archive"):
        corpora.read(tmp_path / "set.npz")
    archive(tmp_path / "more.npz")
    with pytest.raises(Refusal, match="has more.npz, set.npz: give --data one of the files"):
        corpora.read(tmp_path)


def test_the_network_knows_frequent_words_of_the_training_texts_alone():
    train = Texts([np.array([3, 3, 3, 1]), np.array([1, 2, 4, 4])], np.array([0, 1]))
    assert numbering(train, 6, words=2, least=2).tolist() == [1, 3, 1, 2, 1, 1]
    assert numbering(train, 6, words=9, least=1)[5] == 1  # a word that only occurs where it is measured
    known = numbering(train, 6, words=9, least=2)
    assert encoded(train, known, 5).tolist() == [[2, 2, 2, 3, 0], [3, 1, 4, 4, 0]]
    assert encoded(train, known, 2).tolist() == [[2, 3], [4, 4]]  # the last ones


@pytest.mark.parametrize("name", ["embedding", "lstm", "bilstm", "transformer"])
def test_what_fills_up_a_text_does_not_matter(name: str):
    from workloads.text.networks import network

    config = Config(network=name, width=6, units=3, heads=2)  # pyright: ignore[reportArgumentType]
    short, long = (network(config, 9, length, 2) for length in (5, 7))
    for one, other in zip(short.weights, long.weights):
        value = np.random.default_rng(0).normal(size=one.shape)
        one.assign(value)
        other.assign(np.resize(value, other.shape) if one.shape != other.shape else value)  # more positions
    text = np.array([[2, 3, 1, 0, 0]])
    expected, found = (np.asarray(model(x)) for model, x in ((short, text), (long, np.pad(text, ((0, 0), (0, 2))))))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.abs(np.asarray(short(np.array([[3, 2, 4, 0, 0]]))) - expected).max() > 1e-3


def test_logistic_regression_on_bags_of_words(tmp_path: Path):
    train, held = corpora.read(files(tmp_path)).split(4, 1, 0)
    assert comparison.bag_of_words(train, held, 6) == {comparison.BAG: 1.0}
    blind = held._replace(words=[np.array([5])] * len(held.words))
    assert comparison.bag_of_words(train, blind, 6)[comparison.BAG] < 0.8


@pytest.mark.parametrize("engine", ranks.SLOW_ON_JAX)
def test_two_ranks_learn_what_one_does(engine: str, tmp_path: Path):
    data, found = files(tmp_path / "data"), {}
    for size in (1, 2):
        started = ranks.train(
            size, tmp_path / f"n{size}", f"--data={data}", "--network=lstm", "--width=8", "--units=4", "--dropout=0",
            "--drop-words=0", f"--batch={8 // size}", "--lr=0.02", "--lr-scaling=none", "--shards=2", "--epochs=4",
            "--evaluate-every=0", "--no-tensorboard", workload="workloads.text", engine=engine,
        )  # fmt: skip
        assert started.wait() == [0] * size, started.output()
        found[size] = RunDir(tmp_path / f"n{size}").result()["metrics"]
    assert found[2]["loss"] == pytest.approx(found[1]["loss"], rel=1e-3)
    assert found[1]["accuracy"] == found[2]["accuracy"] == 1 and found[1][comparison.BAG] == 1
    assert (tmp_path / "n1" / "figures" / "errors.txt").read_text().startswith("0 of 8 texts")


def test_errors_are_listed_with_the_surest_first(tmp_path: Path):
    corpus = corpora.read(files(tmp_path))
    held = corpus.train.of(np.arange(3))
    comparison.list_errors(tmp_path / "errors.txt", held, np.array([[0, 1.0], [2, 0], [0, 3]]), corpus)
    lines = (tmp_path / "errors.txt").read_text().splitlines()
    assert len(lines) == 3 and lines[1].startswith("a, not b (95%): ") and "dull" in lines[1]


def test_the_table_of_the_networks():
    rows = [
        Finished(Config(network=name, fold=fold), 0, 1, 9, 9, {"accuracy": accuracy, comparison.BAG: 0.7})  # pyright: ignore[reportArgumentType]
        for name, fold, accuracy in (("lstm", 0, 0.72), ("embedding", 1, 0.76), ("embedding", 0, 0.72))
    ]
    lines = [line.split() for line in comparison.table(rows).splitlines()]
    assert lines[1] == ["embedding", "2", "4", "74.00", "+-", "2.00", "70.00", "+-", "0.00", "+4.00", "+-", "2.00"]
    assert lines[2] == ["lstm", "1", "4", "72.00", "70.00", "+2.00"]
    del rows[0].metrics[comparison.BAG]  # where there was no scikit-learn
    assert comparison.table(rows[:1]).splitlines()[1].split()[3:] == ["72.00", "not", "known", "not", "known"]


def test_bad_options(tmp_path: Path):
    from workloads.text import build

    with pytest.raises(Refusal, match="--fold 10 is not one of 10 folds: give 0 to 9"):
        Config(fold=10)
    with pytest.raises(Refusal, match="give --data FOLDER"):
        Config().describe(1)
    with pytest.raises(Refusal, match="80 rows are too few for 99 folds"):
        build(Config(data=files(tmp_path), folds=99), Rank())
    with pytest.raises(Refusal, match="not a study"):
        comparison.main([str(tmp_path)])


def test_pickles_of_arrays_are_read_and_no_others(tmp_path: Path):
    from workloads.data import pickles

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        value = {"data": np.arange(6).reshape(2, 3), "lists": lists([[1, 2], [3]]), "one": np.float32(2)}
        found = pickles.loads(pickle.dumps(value, protocol))
        assert found["data"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["lists"].tolist() == [[1, 2], [3]]
        with pytest.raises(pickles.Unreadable, match=r"it wants .*, which is not an array"):
            pickles.loads(pickle.dumps(Calls(), protocol))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ranks.ENGINES)
def test_sentences_are_told_apart_better_than_by_bags_of_words(engine: str, shared_data: Path, tmp_path: Path):
    done = ranks.train(1, tmp_path, f"--data={shared_data / 'sentences'}", "--split-seed=1", workload="workloads.text", engine=engine)  # fmt: skip
    assert done.wait(1800) == [0], done.output()
    found = RunDir(tmp_path).result()["metrics"]
    assert found["accuracy"] > 0.74 and found[comparison.BAG] > 0.74


@pytest.mark.slow
def test_a_study_of_networks_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = files(tmp_path / "data", 12)
    done = launch(
        "--backend=local", "--runs", tmp_path, "--name=t", "--sweep", "network=embedding,transformer", "workloads.text",
        f"--data={data}", "--folds=3", "--epochs=1", "--width=8", "--batch=4", "--threads=1", "--no-tensorboard",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    comparison.main([str(tmp_path / "t")])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["network", "embedding", "transformer"]
