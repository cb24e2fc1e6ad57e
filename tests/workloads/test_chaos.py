"""The Kuramoto-Sivashinsky equation, the reservoirs that predict it, 1 rank against 2."""

from pathlib import Path

import numpy as np
import pytest
from launched import launch

from launch.errors import Refusal
from launch.record.rundir import RunDir
from workloads.chaos import __main__ as chaos
from workloads.chaos.equation import Equation
from workloads.chaos.forecast import Forecast, Part
from workloads.chaos.reservoir import SYNCHRONISED, Reservoir, ridge


def after(time: float, step: float, u: np.ndarray, length: float = 22.0) -> np.ndarray:
    equation = Equation(length, u.shape[-1], step)
    for _ in range(round(time / step)):
        u = equation(u)
    return u


def test_a_small_wave_grows_as_the_linear_equation_says():
    place, length = np.arange(64) / 64, 22.0
    for waves in (1, 2, 4):
        k = 2 * np.pi * waves / length
        u = after(1.0, 0.25, 1e-6 * np.cos(2 * np.pi * waves * place))
        assert np.abs(u).max() / 1e-6 == pytest.approx(np.exp(k**2 - k**4), rel=1e-5)


def test_it_is_of_fourth_order_and_keeps_the_mean():
    u = Equation(22.0, 64, 0.25).settled(1, 0)[0] + 0.3
    exact = after(2.0, 1 / 512, u)
    errors = [np.abs(after(2.0, step, u) - exact).max() for step in (1 / 16, 1 / 32)]
    assert 10 < errors[0] / errors[1] < 25  # 2^4, where the step is small enough
    assert exact.mean() == pytest.approx(u.mean(), abs=1e-9)


def test_the_lyapunov_exponent():
    """0.043 to 0.048 for a length of 22 (Cvitanovic, Davidchack, Siminos, SIAM J. Appl. Dyn. Syst. 9, 2010: 0.048)."""
    found, error = Equation(22.0, 32, 0.5).exponent(1)
    assert found == pytest.approx(0.046, abs=0.008) and error < 0.006


def test_a_reservoir_is_as_asked_for_and_its_regression_is_ridge_regression():
    reservoir = Reservoir(60, 5, 3.0, 0.7, 0.5, 1)
    matrix = reservoir.next(1e-7 * np.eye(60), np.zeros((5, 60))) / 1e-7
    assert np.abs(np.linalg.eigvals(matrix)).max() == pytest.approx(0.7, rel=1e-3)
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(2500, 5)), random.normal(size=(2500, 2))
    state, seen = np.zeros((60, 1)), []
    for each in inputs:
        state = reservoir.next(state, each[:, None])
        seen.append(reservoir.seen(state)[:, 0])
    x, y = np.array(seen)[SYNCHRONISED:], targets[SYNCHRONISED:]
    expected = np.linalg.lstsq(np.vstack([x, 0.1 * np.eye(60)]), np.vstack([y, np.zeros((60, 2))]), rcond=None)[0].T
    np.testing.assert_allclose(ridge(*reservoir.products(inputs, targets), 0.01), expected, rtol=1e-6, atol=1e-9)


def test_what_a_group_sees():
    part, ring = Part(None, 12, 4, 2), np.arange(12.0)
    seen = part.around(ring[:, None])
    assert seen.shape == (7, 4, 1)
    assert seen[:, 0, 0].tolist() == [10, 11, 0, 1, 2, 3, 4] and seen[:, 3, 0].tolist() == [7, 8, 9, 10, 11, 0, 1]
    inputs, targets = part.learned(np.array([ring, ring + 100]), 3)
    assert inputs.tolist() == [seen[:, 3, 0].tolist()] and targets.tolist() == [[109, 110, 111]]


def test_valid_until_the_error_first_reaches_the_threshold():
    errors = np.array([[0.1, 0.1], [0.5, 0.1], [0.1, 0.2]])
    assert Forecast(errors, errors, errors).valid_steps(0.4).tolist() == [1, 3]


@pytest.mark.parametrize("alike", [[], pytest.param(["--alike"], marks=pytest.mark.slow)])
def test_two_ranks_predict_what_one_does(alike: list[str], tmp_path: Path):
    found = {}
    for ranks in (1, 2):
        done = launch(
            "--backend=local", "--nodes", ranks, "--runs", tmp_path, f"--name=n{ranks}", "workloads.chaos", "--length=44",
            "--points=64", "--groups=4", "--units=300", "--train=3000", "--starts=3", "--forecast=2", "--exponent=0.08",
            "--seed=1", *alike,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found[ranks] = RunDir(tmp_path / f"n{ranks}").result()
    one, two = (found[ranks]["metrics"] for ranks in (1, 2))
    assert two["valid_lyapunov_times"] == one["valid_lyapunov_times"] > 0.3
    assert two["error_after_half"] == pytest.approx(one["error_after_half"], rel=1e-6)
    assert found[1]["steps"] == found[2]["steps"] == 100
    assert (tmp_path / "n2" / "figures" / "chaos.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--groups=3"], "--points 64 cannot be divided among 3 groups"),
        (["--groups=4", "--overlap=30"], "--overlap 30 reaches round the whole ring"),
        (["--groups=4", "--overlap=70"], "--overlap 70 is more than the 64 points of a rank"),
        (["--train=100"], "--train"),
        (["--train=200", "--points=128"], "--train 200 steps are too few for 128 inputs"),
        (["--dt=nan"], "--dt"),
        (["--lenght=3"], "unknown option --lenght"),
        (["--length=3", "--train=300", "--units=20"], "has no chaos"),
    ],
)
def test_bad_input_is_refused(words: list[str], line: str):
    with pytest.raises(Refusal, match=line):
        chaos.main(words)


def test_groups_that_the_ranks_cannot_share():
    with pytest.raises(Refusal, match="--groups 1 cannot be shared by 2 ranks"):
        chaos._refuse_misfits(chaos.Options(), 2)


@pytest.mark.slow
def test_one_reservoir_of_the_default_size_is_valid_for_four_lyapunov_times(tmp_path: Path):
    done = launch("--backend=local", "--runs", tmp_path, "--name=r", "workloads.chaos", "--seed=3", wait=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert RunDir(tmp_path / "r").result()["metrics"]["valid_lyapunov_times"] > 4
