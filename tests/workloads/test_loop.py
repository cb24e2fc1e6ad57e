"""What a rank has of its own in the training loop: its noise."""

import keras
import numpy as np

from workloads.training.resuming import seed_noise


def noise(seed: int, rank: int, draws: int = 1) -> list[bytes]:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)])
    seed_noise(model, seed, rank)
    return [
        np.asarray(layer(np.ones((1, 64), np.float32), training=True)).tobytes()
        for _ in range(draws)
        for layer in model.layers
    ]


def test_noise_depends_on_seed_rank_and_layer():
    all_of_them = [layer for seed in (1, 2) for rank in (0, 1, 2) for layer in noise(seed, rank)]
    assert len(set(all_of_them)) == 12
    assert noise(1, 2) == noise(1, 2)


def test_noise_goes_on_where_it_was():
    layer = keras.layers.Dropout(0.5)
    layer.build((64,))
    model = keras.Sequential([keras.Input((64,)), layer])
    seed_noise(model, 1, 0)
    model(np.ones((1, 64), np.float32), training=True)
    before = layer.seed_generator.state.numpy()
    seed_noise(model, 1, 0)
    assert before[1] == 1
    np.testing.assert_array_equal(layer.seed_generator.state.numpy(), before)
