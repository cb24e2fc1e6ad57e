"""The networks: as large as published, free in sign, silent in obstacles, and clear about sizes they cannot take."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from workloads.cfd_resnet import networks

# Parameters at 128 x 256, counted by hand layer by layer, weights and biases. U-nets: the published code as configured
# (one residual block a level, concat_elu, 8 filters): https://github.com/loliverhennigh/Steady-State-Flow-With-Neural-Nets,
# model/flow_architecture.py, conv_res. Guo's: KDD 2016, section 3.
PUBLISHED = {
    "fc 256": (networks.fully_connected, {"units": 256}, 32768 * 256 + 256 + 256 * 65536 + 65536, 25.2),
    "fc 3 x 1024": (
        networks.fully_connected, {"units": 1024, "hidden": 3},
        32768 * 1024 + 2 * 1024**2 + 3 * 1024 + 1024 * 65536 + 65536, 102.8,
    ),
    "cnn": (
        networks.cnn, {},
        (256 * 128 + 128) + (16 * 128 * 512 + 512) + (4096 * 1024 + 1024)
        + 2 * ((64 * 1024 * 512 + 512) + (32 * 512 * 256 + 256) + (4 * 256 * 32 + 32) + (4 * 32 + 1)), 80.8,
    ),
    "residual": (networks.residual, {}, None, 1.68),
    "gated": (networks.residual, {"gated": True}, None, 2.56),
}  # fmt: skip
SMALL = {"fc": {"units": 16}, "cnn": {"filters": 8}, "residual": {"filters": 2}, "gated": {"filters": 2}}


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_many_parameters_as_published(name: str):
    make, settings, exactly, millions = PUBLISHED[name]
    # Without values: the largest have 400 MB of them.
    with keras.StatelessScope():
        model = make(128, 256, **settings)
    counted = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert round(counted / 1e6, 1 if millions > 10 else 2) == millions
    assert exactly in (None, counted)
    assert model.output_shape == (None, 128, 256, 2)


def residual_parameters(gated: bool) -> int:
    """The parameters of a U-net of 8 filters, added up from its definition."""
    total, before = 0, 1

    def conv(size: int, channels: int, filters: int) -> int:
        return size * size * channels * filters + filters

    def block(channels: int, filters: int, skip: bool = False) -> int:
        first = conv(3, channels if channels == 1 else 2 * channels, filters)
        shortcut = conv(1, 2 * filters, filters) if skip else 0
        return first + shortcut + conv(3, 2 * filters, filters * (2 if gated else 1))

    for level, filters in enumerate((8, 16, 32, 64, 128)):
        total += block(before, filters) + (block(filters, filters) if level else 0)
        before = filters
    for filters in (64, 32, 16, 8):
        total += conv(3, before, filters) + block(filters, filters, skip=True)
        before = filters
    return total + conv(3, 8, 2)


@pytest.mark.parametrize("gated", [False, True])
def test_the_u_net_has_the_layers_of_its_definition(gated: bool):
    with keras.StatelessScope():
        model = networks.residual(64, 64, gated=gated)
    assert model.count_params() == residual_parameters(gated)


@pytest.mark.parametrize("name", SMALL)
def test_the_flow_may_run_backwards_and_stops_in_obstacles(name: str):
    keras.utils.set_random_seed(1)
    model = networks.NETWORKS[name](32, 64, **SMALL[name])
    random = np.random.default_rng(2)
    mask = (random.random((3, 32, 64, 1)) < 0.3).astype(np.float32)
    flow = model(mask).numpy()
    assert flow.shape == (3, 32, 64, 2)
    for component in (0, 1):
        assert flow[..., component].min() < 0 < flow[..., component].max()
    assert (flow[mask[..., 0] == 1] == 0).all()
    assert (flow[mask[..., 0] == 0] != 0).any(axis=-1).mean() > 0.5  # some of a ReLU's regions are flat


@pytest.mark.parametrize("name", SMALL)
def test_xla_gives_the_same(name: str):
    model = networks.NETWORKS[name](32, 64, **SMALL[name])
    mask = np.zeros((2, 32, 64, 1), np.float32)
    mask[0, 8:16, 20:30] = 1

    def gradients(mask: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(mask, training=True) - 1))
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    plain, compiled = (tf.function(gradients, jit_compile=jit)(mask) for jit in (None, True))
    for one, other in zip(plain, compiled):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_position_makes_the_same_surroundings_differ():
    """In the middle of a long empty channel a convolution sees the same everywhere."""
    flat = np.zeros((1, 32, 512, 1), np.float32)
    spreads = {}
    for position in (False, True):
        keras.utils.set_random_seed(3)
        flow = networks.residual(32, 512, filters=2, position=position)(flat).numpy()[0, :, 240:272]
        spreads[position] = np.abs(flow[:, :16] - flow[:, 16:]).max()
    assert spreads[False] < 1e-6 < spreads[True]


@pytest.mark.parametrize("name", SMALL)
def test_every_column_carries_the_flux_of_the_inlet(name: str):
    plain = networks.NETWORKS[name](32, 64, **SMALL[name])
    mask = (np.random.default_rng(4).random((2, 32, 64, 1)) < 0.4).astype(np.float32)
    flow = networks.conserving(plain)(mask).numpy()
    np.testing.assert_allclose(flow[..., 0].sum(axis=1), 2 / 3 * 32, rtol=1e-5)
    assert (flow[mask[..., 0] == 1] == 0).all()
    np.testing.assert_array_equal(flow[..., 1], plain(mask).numpy()[..., 1])


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_predictions_are_those_of_the_mirrored_channel_mirrored(name: str):
    """While it is trained the network is as it was: that learns from both by itself."""
    plain = networks.sized(name, 32, 64, fields=3)
    mask = (np.random.default_rng(5).random((2, 32, 64, 1)) < 0.3).astype(np.float32)
    model = networks.symmetric(plain)
    turned = np.flip(model.predict(np.flip(mask, 1), verbose=0), 1) * np.array([1, -1, 1], np.float32)
    flow = model.predict(mask, verbose=0)
    np.testing.assert_allclose(turned, flow, rtol=1e-4, atol=1e-5)
    one, other = plain(mask).numpy(), np.flip(plain(np.flip(mask, 1)).numpy(), 1) * np.array([1, -1, 1], np.float32)
    np.testing.assert_allclose(flow, (one + other) / 2, rtol=1e-4, atol=1e-5)
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_array_equal(model(mask, training=True), plain(mask, training=True))
    assert [w.path for w in model.trainable_variables] == [w.path for w in plain.trainable_variables]


def test_a_network_comes_back_from_a_file(tmp_path):
    model = networks.symmetric(networks.conserving(networks.residual(16, 32, filters=2, gated=True, position=True)))
    model.save(tmp_path / "network.keras")
    mask = np.ones((1, 16, 32, 1), np.float32)
    mask[:, 4:9] = 0
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "network.keras")(mask), model(mask))


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_fields_of_any_size_are_filled_up_and_cut_again(name: str):
    """DeepCFD's are 79 x 172; what is filled up makes no difference to what the mask cuts out."""
    model = networks.sized(name, 19, 40, channels=4, fields=3)
    inputs = np.random.default_rng(0).uniform(size=(2, 19, 40, 4)).astype(np.float32)
    inputs[..., 0] = inputs[..., 0] > 0.5
    found = model.predict(inputs, verbose=0)
    assert found.shape == (2, 19, 40, 3)
    np.testing.assert_array_equal((found == 0).all(axis=-1), inputs[..., 0] == 1)
