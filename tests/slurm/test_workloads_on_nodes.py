"""Workloads on a real Slurm: a program whose ranks exchange edges by MPI, boosted trees, and a training."""

from pathlib import Path

import pytest
from launched import launch
from mpi_program import needs_mpi
from slurm.fixtures import Cluster

from launch.record.rundir import RunDir


@needs_mpi
def test_reservoirs_on_two_nodes_predict_what_they_do_on_one(clean_slurm: Cluster, tmp_path: Path):
    pytest.importorskip("mpi4py")
    done = launch(
        "--nodes=1,2", "--ranks-per-node=1", "--rendezvous=mpi", "--runs", tmp_path, "--name=chaos", "workloads.chaos",
        "--length=44", "--groups=4", "--units=200", "--train=2000", "--starts=2", "--forecast=2", "--exponent=0.08",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (RunDir(tmp_path / "chaos" / f"n{nodes}-r1").result() for nodes in (1, 2))
    assert (one["ranks"], two["ranks"]) == (1, 2)
    assert two["metrics"]["valid_lyapunov_times"] == one["metrics"]["valid_lyapunov_times"] > 0
    assert two["metrics"]["error_after_half"] == pytest.approx(one["metrics"]["error_after_half"], rel=1e-6)


@pytest.mark.slow
def test_xgboost_on_two_nodes(clean_slurm: Cluster, tmp_path: Path):
    pytest.importorskip("xgboost")
    words = ["workloads.trees", "--rows=3000", "--rounds=20", "--threads=1"]
    done = launch("-N", 2, "--runs", tmp_path, "--name", "trees", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    result = RunDir(tmp_path / "trees").result()
    assert result["steps"] == 20 and result["ranks"] == 2 and 1 < result["metrics"]["rmse"] < 2.2


@pytest.mark.slow
def test_folds_of_a_table_as_tasks_of_an_array(clean_slurm: Cluster, tmp_path: Path):
    rows = "".join(f"{n % 17},{n % 5},{3 * (n % 17) - n % 5}\n" for n in range(120))
    (tmp_path / "t.csv").write_text("a,b,y\n" + rows)
    done = launch(
        "--runs", tmp_path, "--name=folds", "--nodes=2", "--sweep", "fold=0,1", "workloads.tabular",
        f"--data={tmp_path / 't.csv'}", "--folds=3", "--epochs=40", "--threads=1", "--evaluate-every=0",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [RunDir(tmp_path / "folds" / f"n2-fold{fold}-r1") for fold in (0, 1)]
    assert [run.result()["ranks"] for run in runs] == [2, 2]
    assert [run.events("submitted")[0]["job"].rpartition("_")[2] for run in runs] == ["0", "1"]
    assert all(run.result()["metrics"]["rmse"] < 3 for run in runs)  # the targets vary by 15
