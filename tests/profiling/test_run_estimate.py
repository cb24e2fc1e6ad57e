"""What predicted runs of a study take: steps, hours and energy by hand, their intervals, and the verb with --nodes."""

import json

import pytest

from launch.errors import Refusal
from profiling.__main__ import main
from profiling.prediction import run_estimate
from profiling.prediction.prediction import Forecast
from profiling.study import runs, tables
from tests.profiling import studies


def forecast(workers, throughput, low, high):
    return Forecast(workers, throughput, low, high, 0, 0, 0, 0, 1, ())


def made(tmp_path, **how):
    """A study of nodes with 2 GPUs and one rank each, of which power was read on the larger point: 100 s of training."""
    folder = studies.make(tmp_path / "study", nodes=(1, 2), repeats=2, seconds=lambda ranks, repeat: 0.05, **how)
    for path in folder.glob("n*/run.json"):
        studies.change_json(path, gpus_per_node=2)
    return folder


def known(folder):
    study = runs.read(folder)
    return run_estimate.rates(study, tables.of_study(study).kind)


def test_weak_scaling_holds_the_batch_of_a_rank_and_the_examples(tmp_path):
    folder = made(tmp_path)
    for path in folder.glob("n*/training.json"):  # 160 examples in all, at every size
        studies.change_json(path, steps=20 if path.parent.name.startswith("n1") else 10)
    rates = known(folder)
    assert (rates.kind, rates.batch, rates.unit) == ("weak", 8, "GPU-hours")
    # Start, import, build, compilation and so on; training, queue and trace are not in it.
    phases = json.loads((folder / "n2-r1" / "result.json").read_text())["phases_s"]
    beside = sum(seconds for name, seconds in phases.items() if name not in ("queue", "train", "trace"))
    assert beside > 12 and rates.beside_s == pytest.approx(beside)
    assert (rates.work, rates.watts_per_gpu) == ({"examples": 160}, None)
    found = run_estimate.estimate(rates, forecast(4, 64.0, 32.0, 80.0))
    assert found.step_seconds == run_estimate.Bounded(0.5, 0.4, 1.0)
    assert (found.nodes, found.gpus) == (4, 8)
    training = found.training_seconds
    assert [training.value, training.low, training.high] == pytest.approx([beside + 2.5, beside + 2, beside + 5])
    assert found.hours.value == pytest.approx(training.value * 8 / 3600)
    assert found.energy_j is None


def test_strong_scaling_holds_the_batch_of_all_and_so_the_steps(tmp_path):
    rates = known(made(tmp_path, batch=lambda ranks: 16))
    assert (rates.kind, rates.batch, rates.work) == ("strong", 16, {"examples": 320})
    found = run_estimate.estimate(rates, forecast(4, 64.0, 32.0, 80.0))
    assert found.step_seconds.value == 0.25
    assert found.training_seconds.value == pytest.approx(rates.beside_s + 20 * 0.25)


def test_steps_that_are_held_and_work_that_is_not_told(tmp_path):
    folder = made(tmp_path)  # 20 steps at every size
    assert known(folder).work == {"steps": 20}
    for path in folder.glob("n2*/training.json"):
        studies.change_json(path, steps=16)
    rates = known(folder)
    found = run_estimate.estimate(rates, forecast(4, 64.0, 32.0, 80.0))
    assert (rates.work, found.training_seconds, found.hours) == ({}, None, None) and found.step_seconds.value == 0.5
    assert "how long a training takes is not known" in run_estimate.notes(rates)[0]


def test_energy_is_that_of_the_gpus_while_steps_are_made(tmp_path):
    folder = made(tmp_path)
    for repeat in (1, 2):
        studies.read_gpus(folder / f"n2-r{repeat}", 2, 1.7e9 + 100 * repeat, 60)
    rates = known(folder)
    # 200 W of each GPU that was read, two of the four that the plan says.
    assert rates.watts_per_gpu == pytest.approx(100, rel=0.01)
    found = run_estimate.estimate(rates, forecast(4, 64.0, 32.0, 80.0))
    assert found.energy_j.value == pytest.approx(100 * 8 * 20 * 0.5, rel=0.01)
    assert "W per GPU" in run_estimate.notes(rates)[-1]


def test_nodes_that_differ_are_refused_but_ranks_are_predicted(tmp_path, capsys):
    folder = made(tmp_path)
    studies.change_json(folder / "n2-r1" / "run.json", ranks_per_node=2)
    with pytest.raises(Refusal, match="differ .* per node.: give --workers"):
        known(folder)
    assert main(["predict", str(folder), "--nodes", "4"]) == 2
    assert main(["predict", str(folder), "--workers", "4"]) == 0
    out = capsys.readouterr().out
    assert "training [s]" not in out and "written down, to be scored by the next report" in out


def test_the_verb_takes_nodes_of_a_study_and_writes_down_what_it_says(tmp_path, capsys):
    folder = studies.make(tmp_path / "study", repeats=2)
    for path in folder.glob("n*/run.json"):
        studies.change_json(path, ranks_per_node=4)
    assert main(["predict", str(folder), "--nodes", "64,8"]) == 0
    out = capsys.readouterr().out
    header = next(line for line in out.splitlines() if "node-hours" in line)
    assert "step [ms]" in header and "training [s]" in header and "GPU energy" not in header
    assert "written down, to be scored by the next report" in out
    assert main(["predict", str(folder), "--nodes", "64,8", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    small, large = document["predictions"]
    assert (small["workers"], small["nodes"], large["workers"], large["nodes"]) == (32, 8, 256, 64)
    assert small["energy_j"] is None and set(small["node_hours"]) == {"value", "low", "high"}
    assert small["step_seconds"]["value"] == pytest.approx(32 * 8 / small["throughput"])
    kept = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(kept) == 1 and kept[0]["predictions"] == document["predictions"]
