"""Files with another content than they seem to have: each is refused in one line, or its damage has no effect."""

import itertools
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from small_molecules import write
from small_texts import archive

from launch.errors import Refusal
from workloads.cfd_resnet import deepcfd, obstacles
from workloads.climate.layout import encode, encode_statistics, layout
from workloads.climate.maps import Maps, Scale
from workloads.climate.rivers import rivers
from workloads.data import tables
from workloads.data.images import reading
from workloads.molecules import systems
from workloads.text import corpora
from workloads.training import checkpoints

RANDOM = np.random.default_rng(0)


def refused(read: Callable[[], Any]) -> str:
    with pytest.raises(Refusal) as error:
        read()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_header_of_an_array_that_was_altered_makes_the_checkpoint_a_damaged_one(tmp_path: Path):
    for step in (1, 2):
        variables = [keras.Variable(np.full(2000, step), dtype="float32")]  # more than zipfile reads at once
        path = checkpoints.save(tmp_path, step, variables, {}, keep=2)
    content = path.read_bytes()
    assert checkpoints.load(path).step == 2
    starts = [found.start() for found in re.finditer(b"\x93NUMPY", content)]
    assert len(starts) == 2
    for start, place, value in itertools.product(starts, range(6, 80), (0x20, 0x28, 0x5B, 0x76)):
        altered = bytearray(content)
        if altered[start + place] != value:
            altered[start + place] = value
            path.write_bytes(altered)
            with pytest.raises(checkpoints.DAMAGE):
                checkpoints.load(path)
    found = checkpoints.latest(tmp_path)
    assert found and found.step == 1 and (tmp_path / "step-2.damaged").exists()


@pytest.mark.parametrize("word", ["1_000", "٣", "1e39", "-1e300"])
def test_a_table_has_numbers_in_the_range_of_float32(word: str, tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text(f"a,b\n1,2\n{word},4\n", encoding="utf-8")
    assert "line 3" in refused(lambda: tables.read(path))


@pytest.mark.parametrize("value", [0.1, 0.3, 7.7])
def test_a_column_of_equal_values_is_only_shifted(value: float):
    scale = tables.scale(np.full((455, 1), value))
    assert scale.deviation.tolist() == [1] and abs(scale(np.array([[value + 1]]))[0, 0]) == pytest.approx(1)


def flows(folder: Path, values: np.ndarray) -> Path:
    inputs = np.ones((20, 3, 8, 8), np.float32)
    for name, array in (("dataX.pkl", inputs), ("dataY.pkl", values)):
        (folder / name).write_bytes(pickle.dumps(array))
    return folder


def test_flows_of_any_type_have_the_same_scale_and_too_large_ones_none(tmp_path: Path):
    values = np.rint(RANDOM.normal(0, 300, (20, 3, 8, 8)))
    expected = deepcfd.read(flows(tmp_path, values))
    for kind in (np.float16, np.int16):
        found = deepcfd.read(flows(tmp_path, values.astype(kind)))
        np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-6)
        np.testing.assert_allclose(found.train.fields, expected.train.fields, rtol=1e-2)
    values[0, 1, 2, 3] = 1e300
    assert "channel 1" in refused(lambda: deepcfd.read(flows(tmp_path, values)))


@pytest.mark.parametrize("label", [2**33, 2**63 + 1])
def test_a_huge_class_uses_no_memory(label: int, tmp_path: Path):
    labels = (np.arange(30) % 3).astype(np.uint64)
    labels[4] = label
    assert str(label) in refused(lambda: corpora.read(archive(tmp_path / "set.npz", y_train=labels)))
    assert "y_train" in refused(lambda: corpora.read(archive(tmp_path / "set.npz", y_train=np.int64(1))))


def npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def long_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8] ^= 0x40
    path.write_bytes(content)


def npy(array: Any) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "an archive": npz,
    "a header of another length": long_header,
    "words": npy(np.array([["1", "0"], ["0", "1"]])),
    "bytes": npy(np.full((6, 24), b"1")),
    "complex numbers": npy(np.ones((6, 24), complex)),
    "objects": npy(np.array([[{}]], object)),
    "an unclosed header": lambda path: path.write_bytes(path.read_bytes().replace(b"}", b"(", 1)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_anything_but_an_array_of_numbers_is_refused(name: str, tmp_path: Path):
    damage = DAMAGES[name]
    mask = tmp_path / "mask.npy"
    np.save(mask, np.eye(4))
    force = write(tmp_path / "atoms", "a") / "a" / "set.000" / "force.npy"
    pixels, labels = np.zeros((20, 14, 14), np.uint8), np.arange(20) % 10
    np.savez(tmp_path / "set.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    for path in (mask, force):
        damage(path)
    assert str(mask) in refused(lambda: obstacles.read(mask))
    assert str(force) in refused(lambda: systems.read(tmp_path / "atoms" / "a"))
    with zipfile.ZipFile(tmp_path / "set.npz") as old:
        members = {each: old.read(each) for each in old.namelist()}
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as new:
        for each, content in (members | {"x_test.npy": mask.read_bytes()}).items():
            new.writestr(each, content)
    assert "set.npz" in refused(lambda: reading.read(tmp_path / "set.npz"))
    mask.rename(tmp_path / "mask.npz")
    if damage is not npz:
        assert "mask.npz" in refused(lambda: reading.read(tmp_path / "mask.npz"))


def test_an_archive_of_images_with_any_byte_altered_is_refused_or_says_the_same(tmp_path: Path):
    pixels, labels, path = RANDOM.integers(0, 256, (20, 14, 14), np.uint8), np.arange(20) % 10, tmp_path / "set.npz"
    np.savez_compressed(path, x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    content = path.read_bytes()
    for place in range(0, len(content), 29):
        path.write_bytes(content[:place] + bytes([content[place] ^ 9]) + content[place + 1 :])
        try:
            assert (reading.read(path).train.pixels[..., 0] == pixels).all()
        except Refusal as error:
            assert "\n" not in str(error)


def test_atoms_whose_type_is_too_large_or_whose_place_is_that_of_another_are_refused(tmp_path: Path):
    folder = write(tmp_path, "a") / "a"
    coord = folder / "set.000" / "coord.npy"
    positions = np.load(coord)
    positions[3, 3:6] = positions[3, :3]
    np.save(coord, positions)
    assert "frame 3" in refused(lambda: systems.read(folder))
    for number in (10**20, 2**40):
        (folder / "type.raw").write_text(f"{number} 1 1 0 1 1 0 1")
        assert "type.raw" in refused(lambda: systems.read(folder))


def test_types_without_names_are_known_by_their_numbers(tmp_path: Path):
    folder = write(tmp_path, "a") / "a"
    (folder / "type_map.raw").unlink()
    assert systems.read(folder)[:2] == (("0", "1"), (3, 5))


def maps(folder: Path) -> Path:
    (folder / "train").mkdir()
    path = folder / "train" / "data-1.h5"
    path.write_bytes(encode(RANDOM.normal(size=(16, 24, 16)), np.zeros((16, 24))))
    (folder / "stats.h5").write_bytes(encode_statistics([path]))
    return path


@pytest.mark.parametrize("content", [{"climate": 1.0}, {"climate/data/x": 1.0}, {"climate/data": h5py.Empty("f4")}])
def test_a_map_of_another_structure_is_refused(content: dict[str, Any], tmp_path: Path):
    path = tmp_path / "data-1.h5"
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    assert str(path) in refused(lambda: layout(path))


def test_a_map_with_any_byte_altered_is_refused_in_one_line_if_it_is(tmp_path: Path):
    path = maps(tmp_path)
    for file in (path, tmp_path / "stats.h5"):
        content = file.read_bytes()
        for place in range(0, min(len(content), 4000), 23):
            file.write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
            try:
                Maps(tmp_path / "train", Scale.read(tmp_path, "standard")).check(0, 1, 1)
            except Refusal as error:
                assert "\n" not in str(error)
        file.write_bytes(content)


FOUR = ("mean", "sqmean", "minval", "maxval")
STATISTICS: dict[str, dict[str, Any]] = {
    "three": {"stats": np.ones((16, 3))},
    "a number": {"stats": 1.0},
    "numbers": dict.fromkeys(FOUR, 1.0),
    "other lengths": dict.fromkeys(FOUR, np.ones(16)) | {"mean": np.ones(3)},
    "a group": {"stats/mean": 1.0},
}


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_of_another_shape_are_refused(name: str, tmp_path: Path):
    with h5py.File(tmp_path / "stats.h5", "w") as file:
        for each, value in STATISTICS[name].items():
            file[f"climate/{each}"] = value
    assert "stats.h5" in refused(lambda: Scale.read(tmp_path, "standard"))


def test_each_label_set_is_checked_before_the_first_step(tmp_path: Path):
    path, labels = maps(tmp_path), np.zeros((2, 16, 24), np.uint8)
    labels[1, 3, 3] = 7
    with h5py.File(path, "w") as file:
        file["climate/data"], file["climate/labels"] = np.ones((16, 16, 24), np.float32), labels
    scale = Scale.read(tmp_path, "standard")
    Maps(tmp_path / "train", scale).check(0, 1, 1)
    assert "class 7" in refused(lambda: Maps(tmp_path / "train", scale, label_sets=True).check(0, 1, 1))


def test_a_transport_that_is_not_finite_is_refused():
    latitudes, longitudes = np.linspace(-88, 88, 20), np.arange(40) * 9.0
    transport = np.ones((20, 40))
    transport[2, 5] = np.nan
    assert "2, 5" in refused(lambda: rivers(transport, latitudes, longitudes))
