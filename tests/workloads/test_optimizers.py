"""LARS, LARC and gradient lag against their formulas in numpy, and on two ranks against one."""

from pathlib import Path

import keras
import numpy as np
import pytest
import ranks
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.node.rank import from_environment
from workloads.training.engines.horovod.communicator import Communicator
from workloads.training.optimizers import LARC, LARS, LARCAdam, WarmupMultiStep, lagged

STEPS = 5
SHAPES = [(3, 4), (4,), (2, 2)]  # the last two begin at 0, as biases do
RATES = np.linspace(0.5, 0, STEPS).astype(np.float32)  # the last step is made at a rate of 0


def schedule() -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.PolynomialDecay(0.5, STEPS - 1, 0.0)


def gradients(seed: int, scale: float = 1.0) -> list[list[np.ndarray]]:
    """Of each step; that of the first variable in step 2 is 0."""
    random = np.random.default_rng(seed)
    grads = [[(scale * random.normal(size=shape)).astype(np.float32) for shape in SHAPES] for _ in range(STEPS)]
    grads[2][0] *= 0
    return grads


def first_weights(seed: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed + 1000).normal(size=SHAPES[0]).astype(np.float32), *map(np.zeros, SHAPES[1:])]


def made(optimizer: keras.optimizers.Optimizer, weights: list[np.ndarray], grads: list[list[np.ndarray]]) -> list:
    """The weights after each step with the given gradients."""
    variables = [keras.Variable(weight, dtype="float32") for weight in weights]
    seen = []
    for step in grads:
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in step], variables)
        seen.append([np.array(variable) for variable in variables])
    return seen


def lars(weights: list[np.ndarray], grads: list[list[np.ndarray]], eta: float, l2: float, momentum: float) -> list:
    """You et al. 2017, algorithm 1, in float64."""
    weights, speeds, seen = [w.astype(np.float64) for w in weights], [0.0] * len(weights), []
    for rate, step in zip(RATES, grads):
        for i, gradient in enumerate(step):
            size, steepness = np.linalg.norm(weights[i]), np.linalg.norm(gradient)
            if weights[i].ndim > 1:
                trust = eta * size / (steepness + l2 * size) if size and steepness else 1.0
                gradient = trust * (gradient + l2 * weights[i])
            speeds[i] = momentum * speeds[i] + rate * gradient
            weights[i] = weights[i] - speeds[i]
        seen.append(list(weights))
    return seen


def larc(weights: list[np.ndarray], grads: list[list[np.ndarray]], eta: float, fallback: float) -> list:
    """A step of the smaller of the layer's rate and the global one, without momentum."""
    weights, seen = [w.astype(np.float64) for w in weights], []
    for rate, step in zip(RATES, grads):
        for i, gradient in enumerate(step):
            size, steepness = np.linalg.norm(weights[i]), np.linalg.norm(gradient)
            local = eta * size / steepness if size and steepness else fallback
            weights[i] = weights[i] - min(local, rate) * gradient
        seen.append(list(weights))
    return seen


def close(seen: list, expected: list) -> None:
    for ours, theirs in zip(seen, expected):
        for one, other in zip(ours, theirs):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.9]))
def test_lars_is_that_of_the_paper(seed: int, scale: float, l2: float, momentum: float):
    weights, grads = first_weights(seed), gradients(seed, scale)
    # The factor of a layer that has no weights or no gradient is 1, so large ones must not be there.
    grads = [[a, b / scale, c / scale] for a, b, c in grads]
    close(made(LARS(schedule(), momentum, l2=l2), weights, grads), lars(weights, grads, 1e-3, l2, momentum))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.sampled_from([1e-4, 1.0, 100.0]))
def test_larc_clips_the_rate_of_each_layer(seed: int, scale: float):
    weights, grads = first_weights(seed), gradients(seed, scale)
    close(made(LARC(schedule()), weights, grads), larc(weights, grads, 2e-3, 1 / 16000))


def test_a_step_of_lars_is_the_same_part_of_the_weights_for_any_gradient():
    weights = first_weights(0)
    for scale in (1e-6, 1.0, 1e6):
        (after,) = made(LARS(2.0, eta=0.01), weights, gradients(0, scale)[:1])
        moved = np.linalg.norm(after[0] - weights[0]) / np.linalg.norm(weights[0])
        assert moved == pytest.approx(0.02, rel=1e-3)


def test_a_step_of_larc_is_limited_and_a_small_one_is_that_of_sgd():
    weights, steep, flat = first_weights(0), gradients(0, 1e3)[:1], gradients(0, 1e-4)[:1]
    (after,) = made(LARC(0.1), weights, steep)
    assert np.linalg.norm(after[0] - weights[0]) == pytest.approx(2e-3 * np.linalg.norm(weights[0]), rel=1e-3)
    (ours,), (plain,) = made(LARC(0.1), weights, flat), made(keras.optimizers.SGD(0.1), weights, flat)
    np.testing.assert_allclose(ours[0], plain[0], rtol=1e-6)


def test_larc_goes_in_front_of_adam():
    """Adam is told the rescaled gradients."""
    weights, grads = first_weights(3), gradients(3, 10.0)
    eta = 2e-3
    seen = made(LARCAdam(1e-3, beta_2=0.9), weights, grads[:1])[0][0]
    local = eta * np.linalg.norm(weights[0]) / np.linalg.norm(grads[0][0])
    clipped = [[grads[0][0] * np.float32(min(local / 1e-3, 1.0)), *grads[0][1:]]]
    np.testing.assert_allclose(seen, made(keras.optimizers.Adam(1e-3, beta_2=0.9), weights, clipped)[0][0], rtol=1e-6)


@pytest.mark.parametrize(
    "new", [lambda: keras.optimizers.SGD(0.1), lambda: LARS(1.0), lambda: keras.optimizers.SGD(0.1, momentum=0.9)]
)
def test_lag_applies_the_gradients_of_the_step_before(new):
    weights, grads = first_weights(0), gradients(0)
    nothing = [np.zeros_like(gradient) for gradient in grads[0]]
    close(made(lagged(new()), weights, grads), made(new(), weights, [nothing, *grads[:-1]]))


def test_lag_is_kept_in_the_variables_of_the_optimizer():
    """So a checkpoint has it: what comes after restoring it is what would have come."""
    weights, grads = first_weights(0), gradients(0)
    whole = made(lagged(LARS(1.0)), weights, grads)
    first = lagged(LARS(1.0))
    variables = [keras.Variable(weight, dtype="float32") for weight in weights]
    for step in grads[:2]:
        first.apply(list(map(keras.ops.convert_to_tensor, step)), variables)
    second = lagged(LARS(1.0))
    second.build(variables)
    for variable, kept in zip(second.variables, first.variables):
        variable.assign(kept)
    for step in grads[2:]:
        second.apply(list(map(keras.ops.convert_to_tensor, step)), variables)
    for variable, expected in zip(variables, whole[-1]):
        np.testing.assert_array_equal(np.array(variable), expected)


def test_biases_can_learn_at_a_part_of_the_rate_of_lars():
    weights, grads = [np.ones(3)], [np.array([0.5, -1.0, 2.0])]
    close(made(LARS(2.0, plain=0.01), weights, [grads]), [[weights[0] - 0.02 * grads[0]]])


@pytest.mark.parametrize(
    "optimizer", [LARS(2.0, 0.8, eta=0.02, l2=0.1, plain=0.5), LARC(0.1, eta=0.1), LARCAdam(fallback=0.5)]
)
def test_keras_can_save_them(optimizer: keras.optimizers.Optimizer):
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is type(optimizer)
    assert copy.get_config() == optimizer.get_config()


def test_a_rise_and_then_steps():
    schedule = WarmupMultiStep(0.4, 4, (6, 8))
    rates = [float(schedule(step)) for step in range(10)]
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.04, 0.04, 0.004, 0.004], rtol=1e-5)
    assert float(WarmupMultiStep(0.4, 0, ())(0)) == pytest.approx(0.4)
    copy = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert [float(copy(step)) for step in range(10)] == rates


OPTIMIZERS = {
    "lars": lambda: LARS(5.0, l2=1e-4),
    "larc": lambda: LARCAdam(0.01),
    "lagged": lambda: lagged(LARC(0.1, momentum=0.9)),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(lagged(LARS(5.0)), initial_scale=1024.0),
}


def fit(folder: Path) -> None:
    """On each rank: some steps of each optimizer on the rank's part of the examples."""
    random = np.random.default_rng(0)
    inputs, targets = (random.normal(size=(24, n)).astype(np.float32) for n in (5, 2))
    rank = from_environment()
    own = slice(rank.rank, None, rank.size)
    with Communicator(rank) as communicator:
        for name, new in OPTIMIZERS.items():
            keras.utils.set_random_seed(3)
            model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)])
            model.compile(communicator.averaging(new()), "mse")
            model.fit(inputs[own], targets[own], batch_size=24, epochs=6, shuffle=False, verbose=0)
            np.savez(folder / f"{name}-{rank.size}-{rank.rank}.npz", *model.get_weights())


def test_two_ranks_follow_one(tmp_path: Path):
    for size in (1, 2):
        started = ranks.Ranks(size, tmp_path / str(size), {}, fit, tmp_path)
        assert started.wait(600) == [0] * size, started.output()
    for name in OPTIMIZERS:
        alone, first, second = (list(np.load(tmp_path / f"{name}-{of}.npz").values()) for of in ("1-0", "2-0", "2-1"))
        for one, other, expected in zip(first, second, alone):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-6)
