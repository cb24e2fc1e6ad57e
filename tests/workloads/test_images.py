"""Readers of image sets: what is written is read, and what is damaged is refused by one line."""

import gzip
import pickle
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from workloads.data.images import idx
from workloads.data.images.reading import read
from workloads.data.images.sets import ImageSet

RANDOM = np.random.default_rng(1)
PIXELS = {
    "train": RANDOM.integers(0, 256, (30, 14, 13), np.uint8),
    "t10k": RANDOM.integers(0, 256, (20, 14, 13), np.uint8),
}
LABELS = {"train": np.arange(30, dtype=np.uint8) % 10, "t10k": np.arange(20, dtype=np.uint8) % 10}


def idx_bytes(values: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, kind, values.ndim, *values.shape) + values.tobytes()


def write(folder: Path, prefix: str = "", pack: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    for part in PIXELS:
        for kind, values in (("images-idx3", PIXELS[part]), ("labels-idx1", LABELS[part])):
            data = idx_bytes(values)
            path = folder / f"{prefix}{part}-{kind}-ubyte{'.gz' * pack}"
            path.write_bytes(gzip.compress(data) if pack else data)
    return folder


def archive(path: Path, **changed: np.ndarray) -> Path:
    arrays = {
        "x_train": PIXELS["train"],
        "y_train": LABELS["train"],
        "x_test": PIXELS["t10k"],
        "y_test": LABELS["t10k"],
    }
    np.savez(path, **{name: value for name, value in (arrays | changed).items() if value is not None})
    return path


def refused(path: Path, classes: int = 0) -> str:
    with pytest.raises(Refusal) as refusal:
        read(path, classes)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def assert_is_the_set(found: ImageSet):
    for images, part in ((found.train, "train"), (found.validation, "t10k")):
        np.testing.assert_array_equal(images.pixels[..., 0], PIXELS[part])
        np.testing.assert_array_equal(images.labels, LABELS[part])
        assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int64)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4).filter(lambda shape: len(shape) != 2), st.booleans())
def test_idx_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, shape: list[int], pack: bool):
    values = RANDOM.integers(0, 256, shape, np.uint8)
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if pack else "a")
    path.write_bytes(gzip.compress(idx_bytes(values)) if pack else idx_bytes(values))
    np.testing.assert_array_equal(idx.array(path), values)


@pytest.mark.parametrize("pack", [False, True])
def test_a_folder_of_idx_files(tmp_path: Path, pack: bool):
    found = read(write(tmp_path, pack=pack))
    assert_is_the_set(found)
    assert found.classes == 10


def test_packed_and_unpacked_files_may_lie_side_by_side(tmp_path: Path):
    write(tmp_path, pack=True)
    assert_is_the_set(read(write(tmp_path)))


def test_emnist_is_turned_upright(tmp_path: Path):
    for part in PIXELS:
        upright = np.ascontiguousarray(PIXELS[part].transpose(0, 2, 1))
        name = {"train": "train", "t10k": "test"}[part]
        (tmp_path / f"emnist-digits-{name}-images-idx3-ubyte").write_bytes(idx_bytes(upright))
        (tmp_path / f"emnist-digits-{name}-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[part]))
    assert_is_the_set(read(tmp_path))


def test_an_npz_archive(tmp_path: Path):
    assert_is_the_set(read(archive(tmp_path / "mnist.npz")))
    labels = LABELS["train"][:, None].astype(np.int32)
    assert_is_the_set(read(archive(tmp_path / "other.npz", y_train=labels)))


def write_cifar(folder: Path, classes: int, python: bool) -> tuple[np.ndarray, np.ndarray]:
    """Three images a file; returns pixels and labels by file, of which the last one has the test images."""
    names = ["train", "test"] if classes == 100 else [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    pixels = RANDOM.integers(0, 256, (len(names), 3, 32, 32, 3), np.uint8)
    labels = RANDOM.integers(0, classes, (len(names), 3))
    folder.mkdir(exist_ok=True)
    for name, images, own in zip(names, pixels, labels):
        flat = images.transpose(0, 3, 1, 2).reshape(3, -1)
        if python:
            found = {
                b"data": flat,
                b"fine_labels" if classes == 100 else b"labels": own.tolist(),
                b"filenames": [b"a.png"],
            }
            if classes == 100:
                found[b"coarse_labels"] = [0] * 3
            (folder / name).write_bytes(pickle.dumps(found, protocol=2))
        else:
            heads = [[7, label] if classes == 100 else [label] for label in own]
            (folder / f"{name}.bin").write_bytes(np.concatenate([heads, flat], axis=1).astype(np.uint8).tobytes())
    return pixels, labels


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("classes", [10, 100])
def test_cifar(tmp_path: Path, classes: int, python: bool):
    pixels, labels = write_cifar(tmp_path / "within", classes, python)
    found = read(tmp_path)
    assert found.classes == classes and found.name == ""
    np.testing.assert_array_equal(found.train.pixels, pixels[:-1].reshape(-1, 32, 32, 3))
    np.testing.assert_array_equal(found.validation.labels, labels[-1])

    first = "train" if classes == 100 else "data_batch_1"
    path = tmp_path / "within" / (first if python else f"{first}.bin")
    path.write_bytes(path.read_bytes()[:-50])
    assert ("cannot be read as a pickle of images" if python else "not a multiple of a record's") in refused(tmp_path)
    path.unlink()
    assert "has no " in refused(tmp_path / "within")


def test_a_pickle_of_python_2(tmp_path: Path):
    """As CIFAR's: byte strings as keys and as the pixels of an array made by numpy.core."""
    write_cifar(tmp_path, 10, python=True)
    raw = RANDOM.integers(0, 256, 3072, np.uint8)
    text = (
        b"(dp1\nS'data'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\nI3072\ntcnumpy\ndtype\n"
        b"(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + "".join(f"\\x{v:02x}" for v in raw).encode() + b"'\n"
        b"tbsS'labels'\n(lI6\nas."
    )  # fmt: skip
    (tmp_path / "test_batch").write_bytes(text)
    found = read(tmp_path).validation
    assert found.labels.tolist() == [6]
    np.testing.assert_array_equal(found.pixels[0, :, :, 1].ravel(), raw[1024:2048])


class Harmful:
    def __reduce__(self):
        return print, ("harm",)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({b"data": Harmful(), b"labels": [1]}, ".print, which is not an array"),
        ({b"data": np.zeros((2, 3072), np.uint8)}, "has no labels"),
        ([1, 2], "has no data, labels"),
        ({b"data": np.zeros((2, 3072)), b"labels": [1, 2]}, "has images of shape 2 x 3072 and type float64"),
        ({b"data": np.zeros((2, 99), np.uint8), b"labels": [1, 2]}, "has images of shape 2 x 99 and type uint8"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "has 2 images and 1 labels"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 12]}, "label 12 of image 1 is not one of the 10 classes"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, "x"]}, "whole numbers"),
    ],
)  # fmt: skip
def test_a_pickle_that_cannot_be_learned_from_is_refused(
    tmp_path: Path, content: object, line: str, capfd: pytest.CaptureFixture
):
    write_cifar(tmp_path, 10, python=True)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    assert line in refused(tmp_path)
    assert "harm" not in capfd.readouterr().out


def csv(path: Path, part: str, label: int | None = 0, head: bool = True, side: int = 13) -> Path:
    """The images of a part, cut to a square, with the labels in some column or without any."""
    pixels = PIXELS[part][:, :side, :side].reshape(-1, side * side)
    names = [f"pixel{number}" for number in range(side * side)]
    if label is not None:
        pixels, names = np.insert(pixels, label, LABELS[part], axis=1), [*names[:label], "label", *names[label:]]
    lines = [",".join(names)] * head + [",".join(map(str, row)) for row in pixels]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("label", [0, 169])
def test_the_digit_recogniser_holds_out_its_last_seventh(tmp_path: Path, label: int):
    file = csv(tmp_path / "train.csv", "train", label)
    csv(tmp_path / "test.csv", "t10k", None)
    for path in (tmp_path, file):
        found = read(path)
        np.testing.assert_array_equal(found.train.pixels[..., 0], PIXELS["train"][:26, :13])
        np.testing.assert_array_equal(found.validation.pixels[..., 0], PIXELS["train"][26:, :13])
        np.testing.assert_array_equal(found.validation.labels, LABELS["train"][26:])


@pytest.mark.parametrize("head", [True, False])
def test_a_csv_file_with_its_twin(tmp_path: Path, head: bool):
    csv(tmp_path / "fashion-mnist_train.csv", "train", head=head)
    csv(tmp_path / "fashion-mnist_test.csv", "t10k", head=head)
    found = read(tmp_path)
    np.testing.assert_array_equal(found.train.labels, LABELS["train"])
    np.testing.assert_array_equal(found.validation.pixels[..., 0], PIXELS["t10k"][:, :13])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is empty, or its first line is"),
        ("label,a,b,c,d\n", "has no rows"),
        ("a,b,c,d,e\n1,2,3,4,5\n", "has 0 columns named 'label'"),
        ("label,a,b,c,d\n1,2,3,4,5\n1,2,3\n", "cannot be read as rows of pixels (the number of columns changed from 5 to 3"),
        ("label,a,b,c,d\n1,2,3,4,5\n1,2,,4,5\n", "cannot be read as rows of pixels (could not convert string ''"),
        ("label,a,b,c,d\n1,2,x,4,5\n", "cannot be read as rows of pixels (could not convert string 'x'"),
        ("label,a,b,c,d\n1,2,3,4,5\n1,2,nan,4,5\n", "has nan in row 2, column 3"),
        ("label,a,b,c,d\n1,2,256,4,5\n", "has 256 in row 1, column 3"),
        ("label,a,b,c,d\n1,2,0.5,4,5\n", "has 0.5 in row 1, column 3"),
        ("label,a,b,c\n1,2,3,4\n", "has 4 columns and 4 names: give a label and the pixels of a square image"),
        ("label,a,b,c,d\n1,2,3,4,5\n", "has one image"),
        ("label,a,b,c,d\n1,2,3,4,5\n10,2,3,4,5\n", "label 10 of image 0 is not one of the 10 classes"),
    ],
)  # fmt: skip
def test_a_csv_file_that_cannot_be_learned_from_is_refused(tmp_path: Path, text: str, line: str):
    (tmp_path / "train.csv").write_text(text)
    assert line in refused(tmp_path)


def test_what_is_still_packed_is_to_be_unpacked(tmp_path: Path, shared_data: Path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")
    assert "unpack cifar-10-python.tar.gz, and give --data the folder" in refused(tmp_path)
    assert "unpack cifar-10-python.tar.gz" in refused(tmp_path / "cifar-10-python.tar.gz")
    subprocess.run(
        ["tar", "-xf", shared_data / "cifar10" / "cifar-10-binary-sample.tar.gz", "-C", tmp_path], check=True
    )
    found = read(tmp_path)
    assert found.train.pixels.shape == (10_000, 32, 32, 3) and found.name == ""
    assert np.bincount(found.train.labels).tolist() == [1000] * 10
    assert np.bincount(found.validation.labels).tolist() == [200] * 10


def test_two_sets_in_one_folder_are_one_too_many(tmp_path: Path):
    for name in "ab":
        write_cifar(tmp_path / name, 10, python=False)
    assert "has 2 image sets, a, b: give one" in refused(tmp_path)


def test_the_real_mnist(shared_data: Path):
    found = read(shared_data / "mnist")
    assert found.train.pixels.shape == (60000, 28, 28, 1) and found.validation.pixels.shape == (10000, 28, 28, 1)
    # The numbers of each digit as published with the set.
    assert np.bincount(found.train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert found.name == "MNIST"
    assert found.validation.labels[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "begins with nothing, not 00 00 08 01"),
        (b"PNG!" + bytes(99), "begins with 50 4e 47 21"),
        (idx_bytes(PIXELS["train"], kind=13), "begins with 00 00 0d 03"),
        (idx_bytes(PIXELS["train"])[:-7], "has 5453 bytes of values, and its header says 5460 (30 x 14 x 13)"),
        (idx_bytes(PIXELS["train"]) + b"\0", "has 5461 bytes of values, and its header says 5460"),
        (idx_bytes(PIXELS["train"])[:9], "has 0 bytes of values, and its header says"),
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path: Path, data: bytes, line: str):
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(data)
    assert line in refused(tmp_path)


@pytest.mark.parametrize(
    "change", [lambda data: data[:-20], lambda data: b"no gzip", lambda data: data[:60] + b"\7" * 30 + data[90:]]
)
def test_a_damaged_gzip_is_refused(tmp_path: Path, change):
    path = write(tmp_path, pack=True) / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    assert f"{path} cannot be unpacked (" in refused(tmp_path)


def test_what_a_folder_lacks_or_has_twice_is_named(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").rename(tmp_path / "labels")
    assert "should have one file t10k-labels-idx1-ubyte or .gz and has none" in refused(tmp_path)
    write(tmp_path, "emnist-letters-")
    assert "has 2 files: emnist-letters-train-images-idx3-ubyte, train-images-idx3-ubyte" in refused(tmp_path)
    assert "there is no image set" in refused(tmp_path / "absent")
    assert "there is no image set" in refused(tmp_path / "labels")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"x_test": None, "y_test": None}, "has no x_test, y_test: name its arrays as Keras does"),
        ({"x_train": PIXELS["train"] / 255}, "train: images of shape 30 x 14 x 13 and type float64"),
        ({"x_train": PIXELS["train"][0]}, "images of shape 14 x 13 and type uint8"),
        ({"x_train": np.zeros((30, 14, 13, 2), np.uint8)}, "images of shape 30 x 14 x 13 x 2"),
        ({"x_train": PIXELS["train"][:-1]}, "train: 29 images and 30 labels: give as many of each"),
        ({"x_train": PIXELS["train"][:0], "y_train": LABELS["train"][:0]}, "train: there are no images"),
        (
            {"y_test": LABELS["t10k"] + np.uint8(1)},
            "validation: label 10 of image 9 is not one of the 10 classes 0 to 9",
        ),
        ({"y_test": LABELS["t10k"].astype(int) - 1}, "validation: label -1 of image 0"),
        ({"y_test": LABELS["t10k"] / 2}, "labels of shape 20 and type float64: give whole numbers"),
        ({"x_test": PIXELS["t10k"][:, 1:]}, "has images of 14 x 13 x 1 and 13 x 13 x 1 to train and to measure on"),
    ],
)
def test_an_archive_that_cannot_be_learned_from_is_refused(tmp_path: Path, changed: dict, line: str):
    assert line in refused(archive(tmp_path / "set.npz", **changed))


def test_a_damaged_archive_is_refused(tmp_path: Path):
    path = archive(tmp_path / "set.npz")
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path} cannot be read as an npz archive" in refused(path)
    np.savez(
        path, x_train=np.array([{}], object), y_train=LABELS["train"], x_test=PIXELS["t10k"], y_test=LABELS["t10k"]
    )
    assert f"{path} cannot be read as an npz archive" in refused(path)


def test_more_classes_are_had_by_asking(tmp_path: Path):
    path = archive(tmp_path / "set.npz", y_train=LABELS["train"] + np.uint8(20))
    assert "label 20 of image 0 is not one of the 10 classes" in refused(path)
    assert read(path, 47).classes == 47
