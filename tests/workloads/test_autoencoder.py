"""Autoencoders: what is drawn, the bound by hand, components, 1 rank against 2, refusals, and figures."""

from pathlib import Path

import numpy as np
import pytest
import ranks

from launch.errors import Refusal
from launch.node.rank import Rank
from launch.plan import options
from launch.record.rundir import RunDir
from workloads import autoencoder
from workloads.autoencoder.components import Components
from workloads.autoencoder.draws import Draws

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 14, 13, 1), np.uint8)
SEEDS = np.random.default_rng(1).integers(0, 2**63, (50, 2)).astype(np.uint64)


def test_pixels_are_white_as_often_as_they_are_bright_and_the_code_has_noise_of_its_own():
    draws = Draws(binary=True, noise=0, latent=500)
    grey = np.full((200, 14, 13, 1), 0.3, np.float32)
    seeds = np.stack([np.arange(200, dtype=np.uint64), np.ones(200, np.uint64)], axis=1)
    inputs, targets = draws(grey, seeds)
    assert set(np.unique(targets)) == {0, 1} and targets.mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(inputs["image"], targets)
    assert inputs["noise"].shape == (200, 500) and inputs["noise"].std() == pytest.approx(1, abs=0.01)
    alone, _ = draws(grey[7:8], seeds[7:8])
    np.testing.assert_array_equal(alone["image"][0], inputs["image"][7])
    np.testing.assert_array_equal(alone["noise"][0], inputs["noise"][7])
    assert (grey == np.float32(0.3)).all(), "what was loaded is kept for the next epoch"


def test_a_denoising_one_sees_noise_and_is_to_give_the_image():
    inputs, targets = Draws(binary=False, noise=0.2, latent=3)(PIXELS.astype(np.float32) / 255, SEEDS)
    np.testing.assert_allclose(targets, PIXELS / 255, atol=1e-6)
    difference = (inputs["image"] - targets)[(targets > 0.45) & (targets < 0.55)]
    assert difference.std() == pytest.approx(0.2, abs=0.02)
    assert inputs.keys() == {"image"} and inputs["image"].min() == 0 and inputs["image"].max() == 1


def test_what_is_measured_on_is_always_the_same():
    draws = Draws(binary=True, noise=0.2, latent=3)
    whole, _ = draws.fixed(PIXELS, np.arange(50))
    part, _ = draws.fixed(PIXELS[20:30], np.arange(20, 30))
    for name in whole:
        np.testing.assert_array_equal(part[name], whole[name][20:30])


def test_components_of_what_lies_in_a_plane():
    """Two axes give back what lies in a plane, and one leaves the smaller variance, here 4 x 0.01 per image."""
    random, far, near = np.random.default_rng(0), np.zeros((4, 4)), np.zeros((4, 4))
    far[0], near[1] = 0.5, 0.5  # each of length 1
    amounts = random.choice([-1, 1], (4000, 2)) * [0.8, 0.2]
    pixels = np.rint(255 * (0.5 + np.tensordot(amounts, [far, near], 1))).astype(np.uint8)[..., None]
    images = pixels.astype(np.float32) / 255
    assert Components(pixels, 2).error(images, images) < 1e-4
    assert Components(pixels, 1).error(images, images) == pytest.approx(0.2**2, rel=0.05)


def test_the_bound_is_that_of_the_formula():
    workload = autoencoder.build(autoencoder.Config(variational=True, hidden=(4,), latent=3), Rank())
    random = np.random.default_rng(0)
    x = (random.random((5, 28, 28, 1)) < 0.5).astype(np.float32)
    logits, mean, log_variance = (
        random.normal(size=(5, 28, 28, 1)),
        random.normal(size=(5, 3)),
        random.normal(size=(5, 3)),
    )
    p = 1 / (1 + np.exp(-logits))
    likelihood = np.log(np.where(x == 1, p, 1 - p)).sum(axis=(1, 2, 3))
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1)
    outputs = {"image": logits, "mean": mean, "log_variance": log_variance}
    outputs = {name: value.astype(np.float32) for name, value in outputs.items()}
    np.testing.assert_allclose(workload.loss(x, outputs), divergence - likelihood, rtol=1e-5)
    totals = {name: np.asarray(each) for name, each in workload.statistics(x, outputs).items()}
    found = workload.summarise(totals, 5)
    assert found["negative_elbo_nats"] == pytest.approx((divergence - likelihood).mean(), rel=1e-5)
    assert found["divergence_nats"] == pytest.approx(divergence.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        # 784-1000-500-250-30 and back: Hinton and Salakhutdinov 2006
        ([], 785 * 1000 + 1001 * 500 + 501 * 250 + 251 * 30 + 31 * 250 + 251 * 500 + 501 * 1000 + 1001 * 784),
        (["--variational"], 785 * 500 + 2 * 501 * 20 + 21 * 500 + 501 * 784),
    ],
)
def test_parameters_by_hand(words: list[str], parameters: int):
    workload = autoencoder.build(options.parse(autoencoder.Config, words), Rank())
    assert workload.model.count_params() == parameters


@pytest.mark.parametrize("shape", [(14, 13, 1), (32, 32, 3)])
@pytest.mark.parametrize("words", [[], ["--network=convolutional"], ["--network=convolutional", "--variational"]])
def test_any_shape_comes_back(words: list[str], shape: tuple[int, ...]):
    from workloads.autoencoder.networks import autoencoder as network

    config = options.parse(autoencoder.Config, ["--latent=4", *words])
    inputs = {"image": np.zeros((2, *shape), np.float32)}
    if config.variational:
        inputs["noise"] = np.zeros((2, 4), np.float32)
    assert network(shape, config)(inputs)["image"].shape == (2, *shape)


@pytest.mark.parametrize("engine", ranks.SLOW_ON_JAX)
def test_two_ranks_learn_what_one_does(engine: str, tmp_path: Path):
    """Whatever is drawn follows from seed, epoch and example, and not from the number of ranks."""
    found = {}
    for size in (1, 2):
        started = ranks.train(
            size, tmp_path / f"n{size}", f"--batch={100 // size}", "--variational", "--noise=0.1", "--hidden=50",
            "--lr-scaling=none", "--shards=2", "--epochs=4", "--evaluate-every=0", "--no-tensorboard",
            workload="workloads.autoencoder", engine=engine,
        )  # fmt: skip
        assert started.wait() == [0] * size, started.output()
        found[size] = RunDir(tmp_path / f"n{size}").result()["metrics"]
    for name in ("negative_elbo_nats", "divergence_nats"):
        assert found[2][name] == pytest.approx(found[1][name], rel=1e-3), name
    assert found[1]["negative_elbo_nats"] < 400  # 543 = 784 ln 2 knows nothing
    names = ["reconstructions.png", "samples.png", "walk.png"]
    assert sorted(path.name for path in (tmp_path / "n1" / "figures").iterdir()) == names


def test_bad_input():
    with pytest.raises(Refusal, match="--latent 784 is not below the 784 values of an image: give less"):
        autoencoder.build(autoencoder.Config(latent=784), Rank())
    with pytest.raises(Refusal, match="option --noise: '-1'"):
        options.parse(autoencoder.Config, ["--noise=-1"])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ranks.ENGINES)
@pytest.mark.parametrize(("words", "metric"), [([], "squared_error"), (["--variational"], "negative_elbo_nats")])
def test_mnist_is_learned(engine: str, words: list[str], metric: str, shared_data: Path, tmp_path: Path):
    """In three epochs; in full in docs/workloads/autoencoder.md."""
    done = ranks.train(
        1, tmp_path, f"--data={shared_data / 'mnist'}", "--epochs=3", "--evaluate-every=0", *words,
        workload="workloads.autoencoder", engine=engine,
    )  # fmt: skip
    assert done.wait(1800) == [0], done.output()
    found = RunDir(tmp_path).result()["metrics"]
    if words:
        assert found[metric] < 130
    else:
        assert found["squared_error_components"] == pytest.approx(13.87, abs=0.15)  # Hinton, Salakhutdinov 2006
        assert found[metric] < found["squared_error_components"]
