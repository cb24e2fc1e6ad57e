"""Regression on a csv file: folds, standardisation, what it is compared with, its table."""

from pathlib import Path

import numpy as np
import pytest
from launched import launch

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.record.rundir import RunDir
from workloads.data.tables import Table
from workloads.tabular import Config, comparison, split
from workloads.training.studies import Finished


def plane(folder: Path, rows: int = 60) -> Path:
    """A csv file in which price is linear in the others, up to a small noise."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 2)) * [1, 100] + [50, -3]
    y = 3 * x[:, 0] - 0.1 * x[:, 1] + 0.1 * random.normal(size=rows)
    path = folder / "plane.csv"
    path.write_text("a,b,price\n" + "".join(f"{a},{b},{p}\n" for (a, b), p in zip(x, y)))
    return path


def test_what_it_is_compared_with_knows_only_the_training_rows(tmp_path: Path):
    train, held = split(Config(data=plane(tmp_path), folds=5, fold=2))
    assert len(train.targets) == 48 and len(held.targets) == 12
    blind = held._replace(targets=np.full(12, np.nan))
    assert comparison.rmse(held, comparison.linear(train, blind)) < 0.2
    pytest.importorskip("xgboost")
    boosted = comparison.boosted(train, blind)
    assert boosted is not None and comparison.rmse(held, boosted) < held.targets.std()


def test_the_network_predicts_in_the_unit_of_the_target(tmp_path: Path):
    """In this process; what is held out moves neither the mean nor the deviation."""
    from workloads.tabular import build

    config = Config(data=plane(tmp_path), fold=3, width=4)
    workload, (train, held) = build(config, Rank()), split(config)
    inputs, targets = workload.train.load(np.arange(len(workload.train)))
    assert np.allclose(inputs.mean(axis=0), 0, atol=1e-5) and np.allclose(targets.std(), 1, atol=1e-5)
    zero = np.zeros((len(held.targets), 1), np.float32)
    _, actual = workload.validation.load(np.arange(len(held.targets)))
    totals = {name: np.asarray(value) for name, value in workload.statistics(actual, zero).items()}
    metrics = workload.summarise(totals, len(held.targets))
    assert metrics["rmse"] == pytest.approx(comparison.rmse(held, np.full(len(zero), train.targets.mean())), rel=1e-4)
    assert workload.target and workload.target[2] < 0.2


def test_a_short_training_by_the_command(tmp_path: Path):
    done = launch(
        "--backend=local", "--runs", tmp_path, "--name=t", "workloads.tabular", "--epochs=30", "--evaluate-every=0",
        "--threads=1", "--no-tensorboard",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = RunDir(tmp_path / "t").result()["metrics"]
    assert found["rmse"] < 0.9 * found["rmse_mean"]  # of diabetes' progression, 25 to 346
    assert found["rmse_linear"] == pytest.approx(54, abs=8)  # scikit-learn's own examples: a mean square of about 2,900
    assert (tmp_path / "t" / "figures" / "predictions.png").stat().st_size > 5000


def test_the_table_of_a_cross_validation():
    rows = [
        Finished(Config(fold=fold), 0, 1, 9, 9, {"rmse": rmse, "rmse_linear": 5.0, "rmse_mean": 9.0})
        for fold, rmse in ((1, 4.0), (0, 2.0))
    ]
    text = comparison.table(rows)
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["fold", "seed", "ranks", "mean", "linear", "network"]
    assert lines[1][:3] == ["0", "of", "10"] and lines[1][-1] == "2.000" and lines[2][-1] == "4.000"
    assert lines[3] == ["mean", "9.000", "5.000", "3.000"] and lines[4][-1] == "1.000"
    assert "network less linear, over the same folds: -2.000 +- 1.000" in text


def test_bad_input(tmp_path: Path):
    with pytest.raises(Refusal, match="--fold 10 is not one of 10 folds: give 0 to 9"):
        Config(fold=10)
    with pytest.raises(Refusal, match="9 rows are too few for 10 folds"):
        split(Config(data=plane(tmp_path, 9)))
    with pytest.raises(Refusal, match="not a study"):
        comparison.main([str(tmp_path)])


@pytest.mark.slow
def test_housing_beats_linear_regression_on_each_of_three_folds(shared_data: Path, tmp_path: Path):
    file = shared_data / "housing" / "boston_housing.csv"
    study = launch(
        "--backend=local", "--runs", tmp_path, "--name=t", "--sweep", "fold=0..2", "workloads.tabular", "--data", file,
        "--threads=1", wait=1800,
    )  # fmt: skip
    assert study.returncode == 0, study.stdout + study.stderr
    for fold in range(3):
        found = RunDir(tmp_path / "t" / f"n1-fold{fold}-r1").result()["metrics"]
        assert found["rmse"] < 3.5 < found["rmse_linear"]  # 2.2 to 2.4, and 4.1 to 4.7, when it was written


@pytest.mark.parametrize("rows", [1, 2])
def test_a_column_without_variation_is_no_trouble(rows: int):
    flat = Table(("a",), np.ones((rows, 1)), "b", np.arange(rows, dtype=float))
    assert np.isfinite(comparison.linear(flat, flat)).all()
