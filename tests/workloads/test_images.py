"""Readers of image sets: what is written is read, and what is damaged is refused by one line."""

import gzip
import struct
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


@pytest.mark.parametrize(("head", "classes"), [(1, 10), (2, 100)])
def test_cifar(tmp_path: Path, head: int, classes: int):
    names = (
        ["train.bin", "test.bin"]
        if classes == 100
        else [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
    )
    pixels = RANDOM.integers(0, 256, (len(names), 4, 32, 32, 3), np.uint8)
    labels = RANDOM.integers(0, classes, (len(names), 4))
    for name, images, fine in zip(names, pixels, labels):
        records = np.concatenate([np.full((4, head), 3), images.transpose(0, 3, 1, 2).reshape(4, -1)], axis=1)
        records[:, head - 1] = fine
        (tmp_path / name).write_bytes(records.astype(np.uint8).tobytes())
    found = read(tmp_path)
    assert found.classes == classes
    np.testing.assert_array_equal(found.train.pixels, pixels[:-1].reshape(-1, 32, 32, 3))
    np.testing.assert_array_equal(found.validation.labels, labels[-1])

    (tmp_path / names[0]).write_bytes(b"\0" * 3000)
    assert f"{names[0]} has 3000 bytes, not a multiple of a record's {head + 3072}" in refused(tmp_path)
    (tmp_path / names[0]).unlink()
    assert "has no " in refused(tmp_path)


def test_the_real_mnist(shared_data: Path):
    found = read(shared_data / "mnist")
    assert found.train.pixels.shape == (60000, 28, 28, 1) and found.validation.pixels.shape == (10000, 28, 28, 1)
    # The numbers of each digit as published with the set.
    assert np.bincount(found.train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
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
