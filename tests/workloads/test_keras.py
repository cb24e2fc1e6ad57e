"""rankloop.keras: ``model.fit`` on several ranks is the training that one process would make of the same steps."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import fitted
import numpy as np
import pytest
import ranks
from launched import launch

from launch.node import stop
from launch.record.rundir import RunDir

SAME = ("arrays", "dataset", "accumulated")
MORE = ("files", "float16", "normalised", "ended", "generator")


def fit(folder: Path, size: int, *cases: str, run: Path | None = None, attempt: int = 1, **told: str) -> list[int]:
    """Make the trainings by some ranks; return their exit statuses."""
    folder.mkdir(exist_ok=True)
    if run:
        for inner in ("steps", "meeting", "checkpoints"):
            (run / inner).mkdir(parents=True, exist_ok=True)
        told |= {"LAUNCH_RUN": str(run), "LAUNCH_ATTEMPT": str(attempt), "LAUNCH_STEPS": f"{run}/steps/rank0.jsonl"}
    started = ranks.Ranks(size, folder / f"logs{attempt}", told, fitted.main, str(folder), *cases)
    statuses = started.wait(200)
    assert set(statuses) <= {0, stop.STOPPED}, started.output(size - 1)
    return statuses


def weights(folder: Path, case: str, rank: int) -> list[np.ndarray]:
    with np.load(folder / f"{case}-{rank}.npz") as archive:
        return list(archive.values())


def told(folder: Path, case: str, rank: int = 0) -> dict:
    return json.loads((folder / f"{case}-{rank}.json").read_text())


def compare(one: Path, two: Path, cases: tuple[str, ...]) -> None:
    import keras

    for case in cases:
        held, first, second = weights(one, case, 0), weights(two, case, 0), weights(two, case, 1)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second)), case
        assert told(two, case)["history"] == told(two, case, 1)["history"], case
        assert told(two, case)["evaluated"] == pytest.approx(told(two, case)["alone"], rel=1e-5), case
        loaded = keras.models.load_model(two / f"{case}.keras")
        assert all(a.tobytes() == b.tobytes() for a, b in zip(loaded.get_weights(), first)), case
        if case not in ("normalised", "ended", "generator"):
            loose = case == "float16"
            for a, b in zip(first, held):
                np.testing.assert_allclose(a, b, rtol=1e-2 if loose else 1e-4, atol=1e-3 if loose else 1e-6)
            for name, values in told(one, case)["history"].items():
                assert told(two, case)["history"][name] == pytest.approx(values, rel=1e-2 if loose else 1e-4), (
                    case,
                    name,
                )


def test_two_ranks_make_the_training_of_one(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert fit(one, 1, *SAME) == [0] and fit(two, 2, *SAME) == [0, 0]
    compare(one, two, SAME)
    seen = [json.loads((folder / f"seen-{rank}.json").read_text()) for folder, rank in ((one, 0), (two, 0), (two, 1))]
    for name in ("arrays", "dataset"):
        for epoch in (0, 1):
            alone, *shared = (each[name][epoch] for each in seen)
            assert Counter(sum(sum(shared, []), [])) == Counter(range(fitted.N)) == Counter(sum(alone, []))
            assert [len(batch) for batch in shared[0]] == [len(batch) for batch in shared[1]] == [32, 32, 5]
            if name == "arrays":  # and each step takes the very same ones, whatever the number of ranks
                assert [sorted(a + b) for a, b in zip(*shared)] == [sorted(batch) for batch in alone]
        assert seen[0][name][0] != seen[0][name][1]
    batches = [tuple(batch) for rank in (1, 2) for batch in seen[rank]["words"][0]]
    assert len(batches) == 6 and len(set(batches)) == 5  # of batches that cannot be put together one is taken twice


@pytest.mark.slow
def test_more_ways_to_train(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert fit(one, 1, *MORE) == [0] and fit(two, 2, *MORE) == [0, 0]
    compare(one, two, MORE)
    assert told(two, "ended")["epochs"] == [0]


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path):
    """The signal comes to rank 1 after its fifth step: all stop after the sixth, at the end of an epoch before its validation."""
    cases, stopped, whole = ("interrupted", "interrupted dataset"), tmp_path / "stopped", tmp_path / "whole"
    interrupt = json.dumps({"1": {"5": "SIGUSR2"}, "2": {"6": "SIGUSR2"}})
    assert fit(whole, 2, *cases, run=tmp_path / "run1") == [0, 0]
    run = tmp_path / "run2"
    assert fit(stopped, 2, *cases, run=run, attempt=1, INTERRUPT=interrupt) == [stop.STOPPED] * 2
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == ["step-5.npz", "step-6.npz"]
    # It goes on with the last epoch of the first training, and is stopped within the second one's second.
    assert fit(stopped, 2, *cases, run=run, attempt=2, INTERRUPT=interrupt) == [stop.STOPPED] * 2
    assert fit(stopped, 2, *cases, run=run, attempt=3) == [0, 0]
    for case in cases:
        for rank in (0, 1):
            pairs = zip(weights(stopped, case, rank), weights(whole, case, 0))
            assert all(a.tobytes() == b.tobytes() for a, b in pairs), (case, rank)
        assert told(stopped, case)["epochs"] == [0, 1, 2]
        for name, values in told(whole, case)["history"].items():
            assert told(stopped, case)["history"][name] == pytest.approx(values, rel=1e-6), (case, name)
    lines = [json.loads(line) for line in (run / "steps" / "node0.jsonl").read_text().splitlines()]
    first = [(line["step"], line["examples"]) for line in lines if "step" in line and line["rank"] == 0]
    assert first == [(step, 5 if step % 3 == 0 else 32) for step in range(1, 19)]


@pytest.mark.slow
def test_a_launched_training_is_stopped_and_killed_and_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    case, out = "interrupted", {name: tmp_path / name for name in ("whole", "killed")}
    for name, signals in (("whole", {}), ("killed", {"1": {"5": "SIGUSR2"}, "2": {"2": "SIGKILL"}})):
        out[name].mkdir()
        monkeypatch.setenv("INTERRUPT", json.dumps(signals))
        words = ("--runs", tmp_path / "runs", "--name", name, "--backend", "local", "--sample-hz", 0, "--nodes", 2)
        done = launch(*words, "--max-attempts", 2, fitted.__file__, out[name], case)
        assert done.returncode == bool(signals), done.stdout + done.stderr
    run = RunDir(tmp_path / "runs" / "killed")
    resumed = launch("resume", run.path)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert [event["outcome"] for event in run.events("ended")] == ["stopped", "failed", "done"]
    for rank in (0, 1):
        pairs = zip(weights(out["killed"], case, rank), weights(out["whole"], case, 0))
        assert all(a.tobytes() == b.tobytes() for a, b in pairs)
    result = run.result()
    assert result["steps"] == 9 and result["metrics"]["val_loss"] == pytest.approx(
        told(out["whole"], case)["history"]["val_loss"][-1], rel=1e-6
    )


REFUSED = {
    "is not built|call model.compile": "rk.fit(keras.Sequential([keras.layers.Dense(1)]), x, y)",
    "leave BackupAndRestore out": "rk.fit(model, x, y, callbacks=[keras.callbacks.BackupAndRestore('b')])",
    "cannot share int": "rk.fit(model, [1, 2], y)",
    "have 3 and 8 examples": "rk.fit(model, x, y[:3])",
    "no data were given": "rk.fit(model)",
    "batch_size=0": "rk.fit(model, x, y, batch_size=0)",
    "takes an optimizer of Keras": "rk.averaging('no such one')",
    "is for a tf.data.Dataset or a generator": "rk.fit(model, x, y, sharded=True)",
}


def test_what_cannot_be_trained_is_refused_in_one_line(tmp_path: Path):
    """Without a launcher, on one rank; and a training there leaves nothing behind."""
    code = f"""
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, {str(fitted.INSIDE)!r})
import keras, numpy as np
import rankloop.keras as rk
x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
model = keras.Sequential([keras.layers.Dense(1)])  # built by its first batch
model.compile("sgd", "mse")
for line in {list(REFUSED.values())!r}:
    try:
        exec(line)
    except SystemExit as end:
        print(end)
model.compile(rk.averaging("sgd"), "mse")
print(rk.fit(model, x, y, epochs=2, verbose=0).epoch, type(model.optimizer) is keras.optimizers.SGD)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == "[0, 1] True" and len(lines) == len(REFUSED) and not list(tmp_path.iterdir())
    for line, (words, _) in zip(lines, REFUSED.items()):
        assert line.startswith("rankloop: ") and re.search(words, line), line
    if importlib.util.find_spec("jax"):
        other = {**os.environ, "KERAS_BACKEND": "jax"}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=other)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "KERAS_BACKEND=tensorflow" in done.stderr
