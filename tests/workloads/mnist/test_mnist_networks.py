"""The ladder: numbers of parameters by hand, shapes, what is too small."""

import numpy as np
import pytest

from launch.errors import Refusal
from workloads.mnist.networks import NETWORKS, SMALLEST, network


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def convolution(inputs: int, outputs: int) -> int:
    return 3 * 3 * inputs * outputs + outputs


def lstm(inputs: int, units: int) -> int:
    return 4 * dense(inputs + units, units)


DEEP = convolution(1, 32) + convolution(32, 64) + dense(12 * 12 * 64, 128) + dense(128, 10)
PARAMETERS = {
    "fc": dense(784, 512) + dense(512, 10),
    "cnn": convolution(1, 32) + dense(13 * 13 * 32, 100) + dense(100, 10) + dense(10, 10),
    "deep_cnn": DEEP,
    "dropout": DEEP,
    "batchnorm": DEEP + 4 * (32 + 64 + 128),
    "residual": convolution(1, 32)
    + convolution(32, 64)
    + 15 * 2 * (convolution(64, 64) + 4 * 64)
    + convolution(64, 64)
    + dense(64, 256)
    + dense(256, 10),
    # Normalised, so without biases, but with four numbers for each channel.
    "vgg": 9 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    + 3 * 3 * 128 * 128
    + 4 * (2 * (32 + 64 + 128) + 128)
    + dense(128, 10),
    "rows": lstm(4, 64) + lstm(64, 128) + dense(128, 10),
}
SAID = {
    "fc": 407_050,
    "cnn": 542_340,
    "deep_cnn": 1_199_882,
    "dropout": 1_199_882,
    "batchnorm": 1_200_778,
    "residual": 1_190_474,
    "vgg": 437_034,
    "rows": 117_770,
}


def test_the_numbers_that_are_said_are_those_by_hand():
    assert PARAMETERS == SAID
    assert PARAMETERS.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_shape(name: str):
    model = network(name, (28, 28, 1), 10)
    assert model.count_params() == PARAMETERS[name]
    assert f"{PARAMETERS[name]:,}" in NETWORKS[name].__doc__
    logits = np.asarray(model(np.zeros((3, 28, 28, 1), np.float32)))
    assert logits.shape == (3, 10)
    assert np.asarray(network(name, (32, 32, 3), 100)(np.zeros((2, 32, 32, 3), np.float32))).shape == (2, 100)


@pytest.mark.parametrize("name", NETWORKS)
def test_width_and_dropout_are_those_of_one_layer(name: str):
    model = network(name, (28, 28, 1), 10, width=20, dropout=0.4)
    sized = [layer for layer in model.layers if getattr(layer, "units", 0) == 20]
    dropped = [layer.rate for layer in model.layers if hasattr(layer, "rate")]
    assert len(sized) == 1 and dropped == ([0.25, 0.4] if name == "dropout" else [0.4])
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    one, other = (np.asarray(model(images, training=True)) for _ in "ab")
    assert np.abs(one - other).max() > 0
    none = network(name, (28, 28, 1), 10, dropout=0.0)
    assert none.count_params() == PARAMETERS[name]
    assert [layer.rate for layer in none.layers if hasattr(layer, "rate")] == ([0.25] if name == "dropout" else [])


def test_the_narrow_layer_is_an_option():
    assert network("cnn", (28, 28, 1), 10, narrow=False).count_params() == 542_230


@pytest.mark.parametrize("name", NETWORKS)
def test_the_smallest_images(name: str):
    assert network(name, (SMALLEST, SMALLEST, 1), 10).output_shape == (None, 10)
    with pytest.raises(Refusal, match=r"images of 13 x 12 pixels are too small .* give 13 x 13 or more"):
        network(name, (SMALLEST, SMALLEST - 1, 1), 10)
