"""Films that move, what they are compared with, 1 rank against 2, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranks

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.record.rundir import RunDir
from workloads.next_frame import BASELINES, Config, films_of
from workloads.next_frame.films import Films

SMALL = ["--size=10", "--frames=4", "--films=16", "--validation=8", "--filters=4", "--kernel=3", "--count=1"]


def test_things_move_steadily_and_bounce_off_the_edges():
    thing = np.full((3, 2), 0.5, np.float32)
    films = Films([thing], 9, 40, 1, 3, (0, 0))
    for film in films(np.arange(20))[..., 0]:
        rows, columns = ([np.flatnonzero(frame.any(axis=axis)) for frame in film] for axis in (1, 0))
        assert all(len(row) == 3 and len(column) == 2 for row, column in zip(rows, columns))  # wholly in the frame
        for places, room in ((rows, 6), (columns, 7)):
            steps = np.diff([place[0] for place in places])
            fast = abs(steps).max()
            assert fast <= 3
            turned = abs(steps) != fast
            assert turned.sum() <= 40 * max(fast, 1) / room + 1  # the frames in which it turns round
        assert (np.abs(np.diff(film, axis=0)).sum(axis=(1, 2)) > 0).any()  # it moves at all
    assert np.array_equal(films(np.array([7])), films(np.arange(20))[7:8])


@pytest.mark.parametrize("things", ["squares", "digits"])
def test_films_to_measure_on_are_others(things: Any):
    config = Config(things=things)
    train, held = (films_of(config, part)(np.arange(30)) for part in ("train", "validation"))
    assert train.shape == (30, 10, 24, 24, 1) and 0 <= train.min() < 0.1 and 0.9 < train.max() <= 1
    assert not any(np.array_equal(a, b) for a in train for b in held)
    if things == "digits":
        seen = {thing.tobytes() for thing in films_of(config, "train").things}
        fresh = [thing.tobytes() not in seen for thing in films_of(config, "validation").things]
        assert np.mean(fresh) > 0.99


def test_the_mean_squared_errors_are_those_of_the_frames_that_are_predicted():
    from workloads.next_frame import build

    config = Config(size=12, frames=5, films=20, validation=6, filters=1, layers=1, seen=3)
    workload = build(config, Rank())
    _, film = workload.validation.load(np.arange(6))
    logits = np.random.default_rng(0).normal(size=film[:, 1:].shape).astype(np.float32)
    totals = {name: np.asarray(value) for name, value in workload.statistics(film, logits).items()}
    found = workload.summarise(totals, 6)
    mean = films_of(config, "train")(np.arange(20)).mean(axis=(0, 1))
    guesses = {
        "mse": 1 / (1 + np.exp(-logits[:, 2:])),
        "mse_last": film[:, 2:4],
        "mse_mean": mean,
        "mse_film_mean": np.stack([film[:, :3].mean(axis=1), film[:, :4].mean(axis=1)], axis=1),
    }
    for name, guess in guesses.items():
        assert found[name] == pytest.approx(np.mean((guess - film[:, 3:]) ** 2), rel=1e-4), name
    for name in BASELINES:
        assert found[f"times_better_than_{name}"] == pytest.approx(found[f"mse_{name}"] / found["mse"])
    ours = -(film[:, 1:] * logits - np.logaddexp(0, logits))[:, 2:].mean(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(workload.loss(film, logits), ours, rtol=1e-4)


class Shifts:
    """In place of a network: each frame moves on by a row."""

    def __call__(self, frames: np.ndarray, training: bool) -> np.ndarray:
        return 20 * np.roll(frames, 1, axis=2) - 10


def test_a_film_is_continued_by_its_own_frames(tmp_path: Path):
    from workloads.next_frame import picture

    down = np.zeros((1, 8, 20, 6, 1), np.float32)
    for frame in range(8):
        down[0, frame, frame : frame + 3, 2:4] = 1
    np.testing.assert_allclose(picture.continued(Shifts(), down, 4), down, atol=1e-3)
    films = Films([np.ones((3, 3), np.float32)], 12, 6, 1, 2, (0, 1))
    found = picture.finish(Shifts(), films, 23, tmp_path)
    true = films(np.arange(23))
    assert found["mse_continued_last"] == pytest.approx(np.mean((true[:, 3:] - true[:, 2:3]) ** 2), rel=1e-5)
    assert 3000 < (tmp_path / "film.png").stat().st_size < 150_000


@pytest.mark.parametrize("engine", ranks.SLOW_ON_JAX)
def test_two_ranks_learn_what_one_does(engine: str, tmp_path: Path):
    found = {}
    for size in (1, 2):
        started = ranks.train(
            size, tmp_path / f"n{size}", *SMALL, f"--batch={4 // size}", "--lr=0.02", "--lr-scaling=none", "--shards=2",
            "--epochs=3", "--evaluate-every=0", "--no-tensorboard", workload="workloads.next_frame", engine=engine,
        )  # fmt: skip
        assert started.wait() == [0] * size, started.output()
        found[size] = RunDir(tmp_path / f"n{size}").result()["metrics"]
    for name in ("loss", "mse", "mse_continued"):
        assert found[2][name] == pytest.approx(found[1][name], rel=1e-3), name
    assert (tmp_path / "n1" / "figures" / "film.png").stat().st_size > 3000


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"seen": 10}, "--seen 10 leaves none of 10 frames"),
        ({"data": Path("x")}, "add --things digits"),
        ({"size": 8}, "squares of 7 pixels cannot move by 2 in frames of --size 8: give --size 9 or more"),
        ({"things": "digits", "size": 15}, "digits of 14 pixels cannot .* or more --shrink"),
        ({"things": "digits", "shrink": 99}, "--shrink 99 leaves nothing of images of 28 x 28"),
        ({"things": "digits", "data": Path("absent")}, "there is no image set"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], line: str):
    with pytest.raises(Refusal, match=line):
        films_of(Config(**given), "train")


@pytest.mark.slow
@pytest.mark.parametrize("things", ["squares", "digits"])
def test_the_next_frame_is_predicted_better_than_by_the_last(things: str, tmp_path: Path):
    done = ranks.train(1, tmp_path, f"--things={things}", "--films=1000", workload="workloads.next_frame")
    assert done.wait(3600) == [0], done.output()
    found = RunDir(tmp_path).result()["metrics"]
    assert found["times_better_than_last"] > 2 and found["times_better_than_mean"] > 2
