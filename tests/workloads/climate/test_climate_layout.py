"""Files of both published layouts, and what is said of bad ones."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from launch.errors import Refusal
from launch.node.rank import Rank
from workloads import climate
from workloads.climate.layout import encode, encode_statistics, read
from workloads.climate.maps import Maps, Scale
from workloads.climate.pack import pack
from workloads.climate.published import CHANNELS
from workloads.training.sharding import Sharding

SIZE = (16, 24)


def example(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    data = random.normal(size=(*size, 16)) * np.arange(1, 17) + 10 * np.arange(16)
    return data.astype(np.float32), random.integers(0, 3, size).astype(np.uint8)


def write_sc18(path: Path, data: np.ndarray, label_sets: list[np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        file["climate/data"] = np.moveaxis(data, -1, 0)
        file["climate/labels"] = np.stack(label_sets).astype(np.float32) if len(label_sets) > 1 else label_sets[0]


@pytest.fixture
def mlperf(tmp_path: Path) -> Path:
    """A folder as MLPerf HPC's: 5 training examples, 2 to measure on."""
    for split, seeds in (("train", range(5)), ("validation", (10, 11))):
        (tmp_path / split).mkdir()
        for seed in seeds:
            (tmp_path / split / f"data-2000-01-{seed + 1:02}-00-0.h5").write_bytes(encode(*example(seed)))
    (tmp_path / "stats.h5").write_bytes(encode_statistics(sorted((tmp_path / "train").iterdir())))
    return tmp_path


@pytest.fixture
def sc18(tmp_path: Path) -> Path:
    """The same as SC18 had them, with a second label set."""
    folder = tmp_path / "sc18"
    stack = np.concatenate([example(seed)[0].reshape(-1, 16) for seed in range(5)]).astype(np.float64)
    for split, seeds in (("train", range(5)), ("validation", (10, 11))):
        (folder / split).mkdir(parents=True)
        for seed in seeds:
            data, labels = example(seed)
            write_sc18(folder / split / f"data-2000-01-{seed + 1:02}-00-0.h5", data, [labels, (labels + 1) % 3])
    with h5py.File(folder / "train" / "stats.h5", "w") as file:
        file["climate/stats"] = np.stack([stack.mean(0), stack.max(0), stack.min(0), stack.std(0)], axis=1)
    return folder


def all_of(folder: Path, how: str = "minmax", **settings: bool) -> tuple[np.ndarray, np.ndarray]:
    examples = Maps(folder / "train", Scale.read(folder, how), **settings)
    return examples.load(np.arange(len(examples)))


def test_both_layouts_give_the_same_examples(mlperf: Path, sc18: Path):
    for how in ("minmax", "standard"):
        fields, labels = all_of(mlperf, how)
        other, other_labels = all_of(sc18, how)
        np.testing.assert_allclose(fields, other, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(labels, other_labels)
    assert fields.shape == (5, *SIZE, 16) and fields.dtype == np.float32
    assert labels.shape == (5, *SIZE) and labels.dtype == np.uint8
    np.testing.assert_array_equal(labels[3], example(3)[1])


def test_scaled_channels_have_the_size_that_was_asked_for(mlperf: Path):
    fields, _ = all_of(mlperf, "minmax")
    np.testing.assert_allclose(fields.reshape(-1, 16).min(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(fields.reshape(-1, 16).max(axis=0), 1, atol=1e-6)
    fields, _ = all_of(mlperf, "standard")
    np.testing.assert_allclose(fields.reshape(-1, 16).mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(fields.reshape(-1, 16).std(axis=0), 1, atol=1e-4)


def test_the_statistics_are_those_of_all_points(mlperf: Path):
    data = np.concatenate([example(seed)[0].reshape(-1, 16) for seed in range(5)]).astype(np.float64)
    with h5py.File(mlperf / "stats.h5") as file:
        stats = {name: value[()] for name, value in file["climate"].items()}
    assert set(stats) == {"count", "mean", "sqmean", "minval", "maxval"}
    assert stats["count"] == len(data)
    np.testing.assert_allclose(stats["mean"], data.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(stats["sqmean"], (data**2).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(stats["maxval"], data.max(axis=0))


def test_an_epoch_has_every_label_set_of_sc18(sc18: Path):
    examples = Maps(sc18 / "train", Scale.read(sc18, "minmax"), label_sets=True)
    assert len(examples) == 10
    fields, labels = examples.load([2, 7])
    np.testing.assert_array_equal(fields[0], fields[1])
    np.testing.assert_array_equal(labels[1], (labels[0] + 1) % 3)
    assert len(Maps(sc18 / "validation", Scale.read(sc18, "minmax"))) == 2


def test_a_file_that_happens_to_have_16_rows_is_not_taken_for_the_other_layout(tmp_path: Path):
    """16 x 24 points with the channels last: the first axis has 16, too."""
    data, labels = example(0)
    (tmp_path / "data-0.h5").write_bytes(encode(data, labels))
    np.testing.assert_array_equal(read(tmp_path / "data-0.h5")[0], data)


def test_augmented_maps_are_turned_and_mirrored_with_their_labels(mlperf: Path):
    scale = Scale.read(mlperf, "minmax")
    examples = Maps(mlperf / "train", scale)
    fields, labels = examples.load(range(5))
    seeds = np.random.default_rng(0).integers(0, 2**63, (5, 2), dtype=np.uint64)
    turned, turned_labels = examples.augment(fields, labels, seeds)
    again, _ = examples.augment(fields, labels, seeds)
    np.testing.assert_array_equal(turned, again)
    mirrored = 0
    for before, after, label, turned_label in zip(fields, turned, labels, turned_labels):
        matches = []
        for flip in (False, True):
            for turn in range(SIZE[1]):
                candidate = np.roll(label[::-1] if flip else label, turn, axis=1)
                if np.array_equal(candidate, turned_label):
                    matches.append((flip, turn))
        ((flip, turn),) = matches
        mirrored += flip
        natural, natural_after = (one * scale.spread + scale.offset for one in (before, after))
        expected = np.roll(natural[::-1] if flip else natural, turn, axis=1)
        for name in ("V850", "VBOT"):
            expected[..., CHANNELS.index(name)] *= -1 if flip else 1
        np.testing.assert_allclose(natural_after, expected, rtol=1e-4, atol=1e-3)
    assert 0 < mirrored < 5


def third(folder: Path) -> Path:
    return folder / "train" / "data-2000-01-03-00-0.h5"


def truncated(folder: Path) -> None:
    third(folder).write_bytes(third(folder).read_bytes()[:5000])


def no_hdf5(folder: Path) -> None:
    third(folder).write_bytes(b"something else")


def other_size(folder: Path) -> None:
    third(folder).write_bytes(encode(*example(0, (8, 12))))


def few_channels(folder: Path) -> None:
    with h5py.File(third(folder), "w") as file:
        file["climate/data"], file["climate/labels_0"] = np.zeros((*SIZE, 4)), np.zeros(SIZE)


def no_labels(folder: Path) -> None:
    with h5py.File(third(folder), "w") as file:
        file["climate/data"] = np.zeros((*SIZE, 16))


def nothing_known(folder: Path) -> None:
    with h5py.File(third(folder), "w") as file:
        file["weather"] = np.zeros(3)


def wrong_class(folder: Path) -> None:
    data, labels = example(0)
    labels[2, 3] = 7
    third(folder).write_bytes(encode(data, labels))


def not_a_number(folder: Path) -> None:
    data, labels = example(0)
    data[2, 3, 7] = np.nan
    third(folder).write_bytes(encode(data, labels))


def empty_train(folder: Path) -> None:
    for path in (folder / "train").glob("data-*"):
        path.unlink()


def no_statistics(folder: Path) -> None:
    (folder / "stats.h5").unlink()


def flat_channel(folder: Path) -> None:
    with h5py.File(folder / "stats.h5", "r+") as file:
        file["climate/maxval"][4] = file["climate/minval"][4]
        file["climate/sqmean"][4] = file["climate/mean"][4] ** 2


def other_validation(folder: Path) -> None:
    for path in (folder / "validation").glob("data-*"):
        path.write_bytes(encode(*example(0, (8, 12))))


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (truncated, "data-2000-01-03-00-0.h5 cannot be read .*: it is cut short or not an HDF5 file, fetch it again"),
        (no_hdf5, "data-2000-01-03-00-0.h5 cannot be read .*: it is cut short or not an HDF5 file, fetch it again"),
        (other_size, "data-2000-01-03-00-0.h5 is a map of 8 x 12 points, data-2000-01-01-00-0.h5 one of 16 x 24: give"),
        (few_channels, r"03-00-0.h5 has data of shape \(16, 24, 4\) and labels of shape \(16, 24\): give \(H, W, 16\)"),
        (no_labels, r"03-00-0.h5 has data of shape \(16, 24, 16\) and labels of shape \(\): give"),
        (nothing_known, "03-00-0.h5 has no group climate: give files of SC18 or MLPerf HPC DeepCAM"),
        (wrong_class, "03-00-0.h5 has the class 7: there are 0 background, 1 tropical cyclone, 2 atmospheric river"),
        (not_a_number, "03-00-0.h5 has nan in channel PSL at row 2, column 3: fix it or remove the file"),
        (empty_train, "train has no examples: put files data-.*h5 there"),
        (no_statistics, "has no stats.h5: put the statistics of the training set there"),
        (flat_channel, "stats.h5 has no spread of channel VBOT: make the statistics again"),
        (other_validation, r"have \(16, 24\) points in train and \(8, 12\) in validation: give one size"),
    ],
)
def test_bad_data_are_one_line_before_the_first_step(mlperf: Path, damage: Callable[[Path], None], line: str):
    damage(mlperf)
    config = climate.Config(data=mlperf, width=8)
    with pytest.raises(Refusal, match=line) as refused:
        for rank in range(2):  # each looks into its part
            climate.build(config, Rank(rank, 2, rank, 2))
    assert "\n" not in str(refused.value)


def test_what_is_not_read_before_is_refused_when_it_is_read(mlperf: Path):
    not_a_number(mlperf)
    examples = Maps(mlperf / "train", Scale.read(mlperf, "minmax"))
    examples.check(0, 1, whole=0)
    with pytest.raises(Refusal, match="has nan in channel PSL"):
        examples.load([2])


def test_fewer_examples_than_ranks_are_refused(mlperf: Path):
    workload = climate.build(climate.Config(data=mlperf, width=8), Rank())
    with pytest.raises(Refusal, match="5 training examples leave some of 8 shards empty: use fewer ranks"):
        Sharding(len(workload.train), 1, 8, 0)


@pytest.mark.parametrize("layout", ["mlperf", "sc18"])
def test_packed_files_give_the_same_examples(
    layout: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("workloads.climate.layout.KEPT", 1)  # of three open files, two are closed again
    folder, packed = request.getfixturevalue(layout), tmp_path / "packed"
    assert pack(folder, packed, 2, progress=lambda line: None) == {"train": (5, 3), "validation": (2, 1)}
    assert len(list(packed.rglob("*"))) == 3 + 1 + 1 + 2, "three files, one, statistics, two folders; no claims"
    for expected, found in zip(all_of(folder, label_sets=True), all_of(packed, label_sets=True)):
        np.testing.assert_array_equal(found, expected)
    examples = Maps(packed / "train", Scale.read(packed, "minmax"), label_sets=True)
    assert [path.name for path in examples.of(np.array([3, 2, 4]))] == [f"data-0000{n}-of-00003.h5" for n in (1, 2)]
    before = {path: path.stat().st_mtime_ns for path in packed.rglob("data-*")}
    pack(folder, packed, 2, progress=lambda line: None)  # nothing is made twice
    assert {path: path.stat().st_mtime_ns for path in packed.rglob("data-*")} == before
    with pytest.raises(Refusal, match="has other files already .*: give an empty folder"):
        pack(folder, packed, 3, progress=lambda line: None)


def test_bad_examples_are_not_packed_and_bad_packed_files_not_read(mlperf: Path, tmp_path: Path):
    packed = tmp_path / "packed"
    pack(mlperf, packed, 4, progress=lambda line: None)
    path = packed / "train" / "data-00000-of-00002.h5"
    whole = path.read_bytes()
    at = whole.find(example(2)[0].tobytes())
    for content, line in (
        (whole[:-100], "cannot be read .*: it is cut short or not an HDF5 file"),
        (
            whole[: at + 999] + b"\xff" + whole[at + 1000 :],
            "has changed in example 2 since it was packed: pack it again",
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(Refusal, match=line):
            climate.build(climate.Config(data=packed, width=8), Rank())
    with h5py.File(path, "w") as file:
        file["climate/data"], file["climate/labels_0"] = np.zeros((0, *SIZE, 16)), np.zeros((0, *SIZE))
        file["climate/crc32"] = np.zeros(0)
    with pytest.raises(Refusal, match="give as many of each, at least one, as python -m workloads.climate.pack does"):
        climate.build(climate.Config(data=packed, width=8), Rank())
    not_a_number(mlperf)
    with pytest.raises(Refusal, match="has nan in channel PSL at row 2, column 3"):
        pack(mlperf, tmp_path / "other", 4, progress=lambda line: None)
    assert not list((tmp_path / "other" / "train").iterdir())
    path.write_bytes(whole)
    with pytest.raises(Refusal, match="is packed already: give the folder that it was made of"):
        pack(packed, tmp_path / "again")
