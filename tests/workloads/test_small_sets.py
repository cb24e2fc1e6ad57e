"""What is rare: sets that are as small as they can be, groups without overlap, and numbers that are not finite."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_molecules import write

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.plan import options
from launch.record.rundir import RunDir
from workloads import autoencoder, molecules
from workloads.autoencoder import pictures
from workloads.autoencoder.draws import Draws
from workloads.chaos import __main__ as chaos
from workloads.chaos.equation import Equation
from workloads.chaos.forecast import Part
from workloads.molecules import dynamics
from workloads.text import corpora
from workloads.training import checkpoints, tensorboard, train


@pytest.mark.parametrize("overlap", [0, 2])
def test_each_group_predicts_from_the_points_that_it_learned_from(overlap: int):
    part, series = Part(None, 12, 2, overlap), np.arange(36.0).reshape(3, 12)
    seen = part.around(series[:2].T)
    for group in range(2):
        np.testing.assert_array_equal(seen[:, group].T, part.learned(series, group)[0])


def test_an_exponent_that_is_not_finite_is_that_of_an_unstable_equation(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Equation, "exponent", lambda *_: (np.nan, np.nan))
    with pytest.raises(Refusal, match="unstable"):
        chaos.main(["--train=300", "--units=20"])


@pytest.mark.parametrize("count", [1, 12, 13, 14])
def test_few_images_are_drawn(count: int, tmp_path: Path):
    config = autoencoder.Config(latent=4, hidden=(5,))
    model = autoencoder.build(config, Rank()).model
    pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), np.uint8)
    pictures.finish(model, None, pixels, Draws(False, 0, 4), tmp_path)
    assert (tmp_path / "reconstructions.png").exists()
    assert (tmp_path / "walk.png").exists() == (count == 14)


def test_a_fold_that_leaves_no_text_of_a_class_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("alone")
    (tmp_path / "b.txt").write_text("one text\n" * 9)
    corpus, refused = corpora.read(tmp_path), 0
    for fold in range(5):
        try:
            assert set(corpus.split(5, fold, 0)[0].labels.tolist()) == {0, 1}
        except Refusal as error:
            refused += 1
            assert f"fold {fold} of 5" in str(error)
    assert refused == 1


def test_dynamics_have_steps_to_measure_in():
    for given in (0.0001, 0.001):
        with pytest.raises(Refusal, match="--dynamics .*: give 0.005 or more"):
            molecules.Config(dynamics=given)
    molecules.Config(dynamics=0.005)
    molecules.Config(dynamics=0)


def test_more_dynamics_of_a_run_have_its_settings_but_for_those_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = write(tmp_path / "data")
    words = [f"--data={data}", "--cutoff=3", "--embedding=4,8", "--fitting=8", "--axes=4"]
    words += ["--timestep=0.25", "--temperature=30", "--masses=2,16"]
    plan: Any = type("Plan", (), {"arguments": words})
    monkeypatch.setattr(RunDir, "plan", lambda self: plan)
    workload = molecules.build(options.parse(molecules.Config, words), Rank())
    monkeypatch.setattr(train, "configure", lambda *_: None)  # as it cannot be changed within a process
    (tmp_path / "run").mkdir()
    checkpoints.save(tmp_path / "run" / "checkpoints", 3, workload.model.variables, {}, keep=1)
    seen: list[Any] = []
    monkeypatch.setattr(dynamics, "finish", lambda model, system, config, figures: seen.append(config) or {})
    run = str(tmp_path / "run")
    dynamics.main([run, "--dynamics=0.5"])
    dynamics.main([run, "--dynamics=0.5", "--masses=3,17"])
    assert [(each.dynamics, each.timestep, each.temperature, each.masses) for each in seen] == [
        (0.5, 0.25, 30, (2, 16)),
        (0.5, 0.25, 30, (3, 17)),
    ]
    for other in ("--batch=3", "--lenght=3", "word"):
        with pytest.raises(Refusal, match=other.partition("=")[0]):
            dynamics.main([run, other])


def test_a_histogram_has_the_finite_weights():
    found = tensorboard._buckets(np.array([1, np.nan, 2, np.inf, 3], np.float32))
    assert found.shape == (30, 3) and found[:, 2].sum() == 3
    assert tensorboard._buckets(np.full(5, np.nan, np.float32))[:, 2].sum() == 0
