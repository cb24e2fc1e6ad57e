"""Bad data by the real command: one line before the first step, exit status 2. What else is refused is in the tests of the readers."""

import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from launched import launch
from small_molecules import write
from small_texts import archive, files

RANDOM = np.random.default_rng(0)


def images(folder: Path, count: int = 40, **changed: np.ndarray) -> list[object]:
    arrays = {"x_train": RANDOM.integers(0, 256, (count, 28, 28), np.uint8), "y_train": np.arange(count) % 10}
    arrays |= {f"{kind}_test": arrays[f"{kind}_train"] for kind in "xy"}
    np.savez(folder / "set.npz", **arrays | changed)
    return ["workloads.mnist", "--network=fc", f"--data={folder / 'set.npz'}"]


def flows(folder: Path, count: int = 20, change: Callable[[np.ndarray, np.ndarray], object] = lambda x, y: None) -> list[object]:  # fmt: skip
    x, y = RANDOM.normal(size=(2, count, 3, 36, 17))
    x[:, 1] = 1
    change(x, y)
    for name, array in (("dataX.pkl", x), ("dataY.pkl", y)):
        (folder / name).write_bytes(pickle.dumps(array))
    return ["workloads.cfd_resnet", "--network=fc", "--width=8", f"--deepcfd={folder}"]


def maps(folder: Path, count: int = 6) -> list[object]:
    from workloads.climate.layout import encode, encode_statistics

    for split in ("train", "validation"):
        (folder / split).mkdir()
        for number in range(count):
            data, labels = RANDOM.normal(size=(16, 24, 16)), RANDOM.integers(0, 3, (16, 24))
            (folder / split / f"data-2000-01-{number + 1:02}-00-0.h5").write_bytes(encode(data, labels))
    (folder / "stats.h5").write_bytes(encode_statistics(sorted((folder / "train").iterdir())))
    return ["workloads.climate", "--width=8", "--batch=1", f"--data={folder}"]


def table(folder: Path, rows: int = 40, value: str = "3") -> list[object]:
    (folder / "t.csv").write_text("a,b\n" + "1,2\n" * (rows - 1) + f"1,{value}\n")
    return ["workloads.tabular", f"--data={folder / 't.csv'}"]


def atoms(folder: Path) -> list[object]:
    write(folder)
    return ["workloads.molecules", "--cutoff=3", f"--data={folder}"]


def texts(path: Path) -> list[object]:
    return ["workloads.text", f"--data={path}"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def truncated_system(folder: Path) -> list[object]:
    words = atoms(folder)
    cut(folder / "b" / "set.000" / "coord.npy")
    return words


def truncated_texts(folder: Path) -> list[object]:
    cut(archive(folder / "imdb.npz"))
    return texts(folder)


def records(folder: Path, name: str = "", change: bytes = b"") -> list[object]:
    """CIFAR-10's binary files of eight images each; one may be another."""
    for file in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        (folder / file).write_bytes(b"\3" * 3073 * 8)
    if name:
        (folder / name).write_bytes(change)
    return ["workloads.mnist", "--network=fc", f"--data={folder}"]


def rows(folder: Path, row: str = "3" + ",4" * 784) -> list[object]:
    head = "label" + "".join(f",pixel{number}" for number in range(784))
    (folder / "train.csv").write_text("\n".join([head, *["3" + ",4" * 784] * 39, row]) + "\n")
    return ["workloads.mnist", "--network=fc", f"--data={folder}"]


def codes(folder: Path, *words: str, **changed: np.ndarray) -> list[object]:
    return ["workloads.autoencoder", *words, images(folder, **changed)[-1]]


def truncated_images(folder: Path) -> list[object]:
    words = images(folder)
    cut(folder / "set.npz")
    return words


def truncated_flows(folder: Path) -> list[object]:
    words = flows(folder)
    cut(folder / "dataY.pkl")
    return words


def other_shape(folder: Path) -> list[object]:
    words = flows(folder)
    (folder / "dataY.pkl").write_bytes(pickle.dumps(np.ones((20, 2, 36, 17))))
    return words


def damaged_map(name: str, place: tuple, value: float) -> Callable[[Path], list[object]]:
    """In the second file, into which the second of two ranks looks."""

    def make(folder: Path) -> list[object]:
        words = maps(folder)
        with h5py.File(folder / "train" / "data-2000-01-02-00-0.h5", "r+") as file:
            file[f"climate/{name}"][place] = value
        return words

    return make


def truncated_map(folder: Path) -> list[object]:
    words = maps(folder)
    cut(folder / "train" / "data-2000-01-02-00-0.h5")
    return words


def map_of_another_size(folder: Path) -> list[object]:
    from workloads.climate.layout import encode

    words = maps(folder)
    path = folder / "train" / "data-2000-01-02-00-0.h5"
    path.write_bytes(encode(RANDOM.normal(size=(8, 12, 16)), np.zeros((8, 12))))
    return words


def set_to(which: int, place: tuple, value: float) -> Callable[[np.ndarray, np.ndarray], None]:
    return lambda *both: both[which].__setitem__(place, value)


EIGHT = "--shards=8"
CASES: dict[str, tuple[int, Callable[[Path], list[object]], str]] = {
    # ranks, words behind the job options, what is said
    "mnist truncated": (1, truncated_images, "set.npz cannot be read as an npz archive"),
    "mnist shape": (1, lambda at: images(at, x_test=np.zeros((40, 20, 20), np.uint8)), "has images of 28 x 28 x 1 and 20 x 20 x 1"),
    "mnist classes": (1, lambda at: images(at, y_train=np.arange(40)), "train: label 10 of image 10 is not one of the 10 classes 0 to 9"),
    "mnist nan": (1, lambda at: images(at, x_train=np.full((40, 28, 28), np.nan)), "images of shape 40 x 28 x 28 and type float64"),
    "cifar truncated": (1, lambda at: records(at, "data_batch_2.bin", b"\3" * 3000), "data_batch_2.bin has 3000 bytes, not a multiple of"),
    "cifar labels": (2, lambda at: records(at, "test_batch.bin", b"\12" * 3073), "label 10 of image 0 is not one of the 10 classes 0 to 9"),
    "csv truncated": (1, lambda at: rows(at, "3,4"), "train.csv cannot be read as rows of pixels"),
    "csv nan": (2, lambda at: rows(at, "3,nan" + ",4" * 783), "train.csv has nan in row 40, column 2"),
    "autoencoder shape": (1, lambda at: codes(at, x_test=np.zeros((40, 20, 20), np.uint8)), "has images of 28 x 28 x 1 and 20 x 20 x 1"),
    "autoencoder code": (1, lambda at: codes(at, "--latent=784"), "--latent 784 is not below the 784 values of an image"),
    "autoencoder nan": (2, lambda at: codes(at, x_train=np.full((40, 28, 28), np.nan)), "images of shape 40 x 28 x 28 and type float64"),
    "mnist empty shard": (1, lambda at: [*images(at, 5), EIGHT], "5 training examples leave some of 8 shards empty"),
    "mnist few": (2, lambda at: images(at, 1), "1 training examples leave some of 2 shards empty: use fewer ranks"),
    "cfd truncated": (1, truncated_flows, "dataY.pkl cannot be read as a pickled array"),
    "cfd absent": (1, lambda at: ["workloads.cfd_resnet", f"--deepcfd={at}"], "has no dataX.pkl: DeepCFD.zip of Zenodo record 3666056"),
    "cfd shape": (1, other_shape, "has X of shape 20 x 3 x 36 x 17 and Y of shape 20 x 2 x 36 x 17: give (N, 3, Nx, Ny) of both"),
    "cfd classes": (1, lambda at: flows(at, change=set_to(0, (3, 1, 2, 2), 9)), "dataX.pkl has the region 9 in flow 3"),
    "cfd nan": (1, lambda at: flows(at, change=set_to(1, (4, 2, 2, 2), np.nan)), "dataY.pkl has nan in channel 2 of flow 4"),
    "cfd empty shard": (1, lambda at: [*flows(at, 5), EIGHT, "--batch=8"], "4 training examples leave some of 8 shards empty"),
    "cfd few": (2, lambda at: [*flows(at, 3), "--no-mirror"], "1 training examples leave some of 2 shards empty: use fewer ranks"),
    "climate truncated": (2, truncated_map, "data-2000-01-02-00-0.h5 cannot be read"),
    "climate shape": (2, map_of_another_size, "data-2000-01-02-00-0.h5 is a map of 8 x 12 points"),
    "climate classes": (2, damaged_map("labels_0", (3, 3), 7), "data-2000-01-02-00-0.h5 has the class 7"),
    "climate nan": (2, damaged_map("data", (3, 3, 0), np.nan), "data-2000-01-02-00-0.h5 has nan in channel TMQ at row 3, column 3"),
    "climate empty shard": (1, lambda at: [*maps(at), EIGHT, "--batch=8"], "6 training examples leave some of 8 shards empty"),
    "climate few": (2, lambda at: maps(at, 1), "1 training examples leave some of 2 shards empty: use fewer ranks"),
    "tabular nan": (2, lambda at: table(at, value="nan"), "line 41, has 'nan', which is not a finite number in column 'b'"),
    "tabular truncated": (1, lambda at: table(at, value="3\n1"), "line 42, has 1 values, and the header 2"),
    "tabular few": (1, lambda at: table(at, rows=9), "9 rows are too few for 10 folds"),
    "molecules truncated": (2, truncated_system, "coord.npy cannot be read"),
    "molecules few": (2, lambda at: [*atoms(at), EIGHT, "--batch=8"], "6 training examples leave some of 8 shards empty"),
    "text truncated": (2, truncated_texts, "imdb.npz cannot be read as an npz archive"),
    "text nan": (1, lambda at: texts(archive(at / "a.npz", y_train=np.full(30, np.nan))), "y_train, is an array of shape 30 and type float64"),
    "text classes": (2, lambda at: texts(archive(at / "a.npz", y_test=np.full(9, 7))), "no text of class 3 to learn from"),
    "text few": (1, lambda at: [*texts(files(at, 4)), "--folds=9"], "8 rows are too few for 9 folds"),
    "next_frame absent": (2, lambda at: ["workloads.next_frame", "--things=digits", f"--data={at / 'x'}"], "there is no image set"),
    "tabular column": (1, lambda at: [*table(at), "--target=c"], "has no column 'c'"),
}  # fmt: skip


@pytest.mark.parametrize("case", [name if name == "mnist few" else pytest.param(name, marks=pytest.mark.slow) for name in CASES])  # fmt: skip
def test_bad_data_are_one_line_before_the_first_step(tmp_path: Path, case: str):
    ranks, make, line = CASES[case]
    (tmp_path / "data").mkdir()
    words = make(tmp_path / "data")
    made = launch("--nodes", ranks, "--runs", tmp_path, "--name=run", *words, "--threads=1", wait=600)
    assert made.returncode == 2, made.stdout + made.stderr
    said = [text for text in made.stdout.splitlines() if line in text]
    assert len(said) == 1 and "Traceback" not in made.stdout + made.stderr
    assert not list((tmp_path / "run" / "steps").glob("*")), "a step was made"
