"""Obstacles: random ones leave the way open and never meet between the sets; files are read, placed or refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import Refusal
from workloads.cfd_resnet.obstacles import FROM_FILE, OPEN, fault, masks_from, random_mask, reached, read, split_of

HEIGHT, WIDTH = 32, 64


def hennigh(mask: np.ndarray) -> str:
    """A mask (across, along) as a text file of the steady-state-flow data."""
    rows = "\n".join("  ".join(str(value) for value in column) for column in mask.T)
    return f"{mask.shape[1]}  {mask.shape[0]}\n{rows}"


def block(rows: slice, columns: slice, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    mask = np.zeros(shape, int)
    mask[rows, columns] = 1
    return mask


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 4), height=st.sampled_from([32, 48]))
def test_random_obstacles_leave_the_way_open(seed, count, height):
    mask = random_mask(np.random.default_rng(seed), height, 2 * height, count, "train")
    assert mask.any() and fault(mask) is None
    assert (~mask).mean(axis=0).min() >= OPEN
    assert (reached(mask) == ~mask).all(), "fluid is shut in"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), split=st.sampled_from(["train", "validation", "test"]))
def test_a_shape_and_its_mirror_image_belong_to_one_set(seed, split):
    mask = random_mask(np.random.default_rng(seed), HEIGHT, WIDTH, 4, split)
    assert split_of(mask) == split_of(mask[::-1]) == split


def test_the_same_generator_draws_the_same_mask():
    first, second = (random_mask(np.random.default_rng(3), HEIGHT, WIDTH, 4, "train") for _ in range(2))
    assert (first == second).all()
    assert (first != random_mask(np.random.default_rng(4), HEIGHT, WIDTH, 4, "train")).any()


def test_too_many_obstacles_are_refused():
    with pytest.raises(Refusal, match="16 obstacles do not fit into a channel of 24 x 24"):
        random_mask(np.random.default_rng(0), 24, 24, 16, "train")


def test_a_mask_of_the_channels_size_is_taken_as_it_is(tmp_path):
    mask = block(slice(10, 20), slice(20, 30))
    np.save(tmp_path / "a.npy", mask)
    (tmp_path / "b.txt").write_text(hennigh(mask))
    (tmp_path / "notes.md").write_text("not a mask")
    masks = masks_from(tmp_path, HEIGHT, WIDTH)
    assert list(masks) == ["a.npy", "b.txt"]
    assert (masks["a.npy"] == mask).all() and (masks["b.txt"] == mask).all()


def test_fluid_that_is_shut_in_counts_as_obstacle(tmp_path):
    ring = block(slice(10, 20), slice(20, 30))
    ring[13:17, 23:27] = 0
    np.save(tmp_path / "ring.npy", ring)
    assert masks_from(tmp_path, HEIGHT, WIDTH)["ring.npy"].sum() == 100


def test_an_obstacle_of_another_size_is_scaled_and_keeps_its_place(tmp_path):
    np.save(tmp_path / "floor.npy", block(slice(50, 100), slice(0, 200), (100, 300)))
    np.save(tmp_path / "middle.npy", block(slice(40, 60), slice(100, 140), (100, 300)))
    masks = masks_from(tmp_path, HEIGHT, WIDTH)
    rows, columns = np.nonzero(masks["floor.npy"])
    assert rows.max() == HEIGHT - 1 and np.ptp(columns) + 1 == FROM_FILE * WIDTH
    assert (np.ptp(rows) + 1) / (np.ptp(columns) + 1) == pytest.approx(50 / 200)
    rows, _ = np.nonzero(masks["middle.npy"])
    assert rows.min() == HEIGHT - 1 - rows.max()


def test_all_cars_fit_into_the_channel(shared_data):
    masks = masks_from(shared_data / "cfd" / "cars", HEIGHT, WIDTH)
    assert len(masks) == 28
    assert all(mask[-1].any() for mask in masks.values()), "a car floats"


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BAD = {
    "a wall.npy": (npy(block(slice(0, 32), slice(20, 22))), "blocks the channel, in a channel of 32 x 64"),
    "narrow.npy": (
        npy(block(slice(0, 28), slice(20, 22))),
        "leaves 12% of the channel's height open, and 40% are needed",
    ),
    "inlet.npy": (npy(block(slice(10, 20), slice(0, 5))), "reaches into the first 4 columns, where the inlet is"),
    "values.npy": (npy(2 * block(slice(10, 20), slice(20, 22))), "has the value 2: 1 is an obstacle, 0 is fluid"),
    "nan.npy": (npy(np.full((32, 64), np.nan)), "has the value nan"),
    "cube.npy": (npy(np.ones((2, 3, 4))), r"has the shape \(2, 3, 4\): two axes are expected"),
    "cut.npy": (npy(block(slice(10, 20), slice(20, 22)))[:500], "cannot be read"),
    "nothing.npy": (b"", "cannot be read"),
    "objects.npy": (npy(np.array([[{}]], object)), "cannot be read"),
    "nothing.txt": (b"", "says  cells and has 0"),
    "short.txt": (b"300 100\n0 1 0", "says 300 x 100 cells and has 3: its first line is cells along and across"),
    "words.txt": (b"2 2\n0 1 zero 1", "cannot be read"),
    "binary.txt": (b"\xff\xfe\x00", "cannot be read"),
    "negative.txt": (b"-2 -2\n0 1 0 1", "cannot be read|says -2 x -2"),
    "empty.npy": (npy(np.zeros((32, 64))), "has no obstacle: mark its cells with 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_mask_is_refused_in_one_line_that_names_it(name, tmp_path):
    content, words = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refusal, match=words) as refused:
        masks_from(tmp_path, HEIGHT, WIDTH)
    assert name in str(refused.value) and "\n" not in str(refused.value)


def test_a_folder_without_masks_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder, words in (
        (tmp_path, "holds no .npy or .txt file"),
        (tmp_path / "no", "No such file"),
        (tmp_path / "file", "Not a dir"),
    ):
        with pytest.raises(Refusal, match=words):
            masks_from(folder, HEIGHT, WIDTH)


def test_a_text_file_has_its_first_axis_along_the_channel(shared_data):
    car = read(Path(shared_data) / "cfd" / "cars" / "car_001.txt")
    assert car.shape == (100, 300) and car[-1].any() and not car[0].any(), "a car stands on its wheels"
