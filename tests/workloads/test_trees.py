"""XGBoost over ranks: the same trees whatever their number, and after a stop."""

import json
from pathlib import Path

import numpy as np
import pytest
import rankloop
from launched import Launched, launch, until

from launch.errors import Refusal
from launch.record.rundir import RunDir
from workloads.trees import __main__ as trees
from workloads.trees import rows

xgboost = pytest.importorskip("xgboost")
SMALL = ["workloads.trees", "--rows=3000", "--threads=1"]


def model(run: RunDir) -> np.ndarray:
    """What its trees predict for generated rows."""
    booster = xgboost.Booster(model_file=run.path / "checkpoints" / "model.ubj")
    return booster.predict(xgboost.DMatrix(rows.friedman(0, 1000, 9).inputs))


def test_two_ranks_grow_the_trees_of_one(tmp_path: Path):
    made = {}
    for ranks in (1, 2):
        words = ["--backend=local", "--nodes", ranks, "--runs", tmp_path, f"--name=n{ranks}", *SMALL, "--rounds=20"]
        done = launch(*words, *(["--compare"] if ranks == 2 else []))
        assert done.returncode == 0, done.stdout + done.stderr
        made[ranks] = RunDir(tmp_path / f"n{ranks}")
    alone, both = (made[ranks].result() for ranks in (1, 2))
    # The histograms are added up in another order, to which XGBoost's FAQ ascribes slight differences.
    np.testing.assert_allclose(model(made[1]), model(made[2]), atol=1e-4)
    assert both["metrics"]["rmse"] == pytest.approx(alone["metrics"]["rmse"], rel=1e-5)
    assert both["metrics"]["rmse"] == pytest.approx(both["metrics"]["rmse_sklearn"], rel=0.1)
    assert 1 < alone["metrics"]["rmse"] < 2.2  # the noise of the rows; they vary by 5
    assert alone["steps"] == both["steps"] == 20
    steps = [
        json.loads(line) for node in (0, 1) for line in (made[2].steps / f"node{node}.jsonl").read_text().splitlines()
    ]
    assert {(line["rank"], line["examples"]) for line in steps if "step" in line} == {(0, 1500), (1, 1500)}
    assert (made[2].figures / "learning.png").is_file()


def test_a_run_that_is_cancelled_saves_its_trees(tmp_path: Path):
    long = Launched("--backend=local", "--nodes=2", "--runs", tmp_path, "--name=r", *SMALL, "--rounds=100000")
    run = RunDir(tmp_path / "r")
    until(lambda: (run.steps / "node1.jsonl").exists() and (run.steps / "node1.jsonl").stat().st_size > 500)
    assert launch("cancel", run.path).returncode == 0
    assert long.wait()[0] == 4
    saved = xgboost.Booster(model_file=run.path / "checkpoints" / "model.ubj")
    assert saved.num_boosted_rounds() > 3


def test_it_continues_from_the_trees_that_were_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In this process, without the launcher."""

    def grown(folder: str, *rounds: int) -> np.ndarray:
        monkeypatch.setattr(rankloop, "checkpoints", tmp_path / folder / "checkpoints", raising=False)
        for number in rounds:
            assert trees.main([*SMALL[1:], f"--rounds={number}"]) == 0
        return model(RunDir(tmp_path / folder))

    np.testing.assert_allclose(grown("halves", 8, 16), grown("whole", 16), atol=1e-4)


def test_generated_rows_are_the_same_whatever_the_number_of_ranks():
    whole = rows.of_function(40_000, 1, 0, 1)
    parts = [rows.of_function(40_000, 1, rank, 3) for rank in range(3)]
    for name in ("mine", "test"):
        together = [np.concatenate(each) for each in zip(*(getattr(part, name) for part in parts))]
        assert all(map(np.array_equal, together, getattr(whole, name)))
    assert all(map(np.array_equal, parts[2].first, whole.first))
    x, y = whole.mine
    without_noise = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    assert np.std(y - without_noise) == pytest.approx(rows.NOISE, rel=0.02)
    assert not np.array_equal(whole.test.inputs[:99], x[:99])


def test_rows_of_a_file_are_shared(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{n},{n * n}\n" for n in range(100)))
    parts = [rows.of_file(path, "", 0, rank, 3) for rank in range(3)]
    seen = [value for part in parts for value in (*part.mine.targets, *part.test.targets)]
    assert sorted(seen) == [n * n for n in range(100)] and {part.total for part in parts} == {90}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--data=none.csv"], "none.csv cannot be read"),
        (["--depth=0"], "--depth"),
        (["--rounds=many"], "--rounds"),
        (["--rond=3"], "unknown option --rond"),
    ],
)
def test_bad_input_is_refused(words: list[str], line: str):
    with pytest.raises(Refusal, match=line):
        trees.main(words)


def test_too_few_rows(tmp_path: Path):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 12)
    with pytest.raises(Refusal, match="too few for 4 ranks"):
        rows.of_file(tmp_path / "t.csv", "", 0, 0, 4)
    with pytest.raises(Refusal, match="--rows 3 are too few for 4 ranks"):
        rows.of_function(3, 0, 0, 4)
