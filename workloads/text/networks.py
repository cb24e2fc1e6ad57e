"""The networks, from the numbers of words to logits. What they have in common is the vectors of words.

A text of fewer words is filled up with 0, which every network leaves out. In training, whole words are left out of each
text, and units of what is made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

if TYPE_CHECKING:
    from workloads.text import Config


def embedding(x: Any, config: Config) -> Any:
    """The mean of the vectors: the order of the words does not matter (Iyyer et al., ACL 2015, without its layers)."""
    return layers.GlobalAveragePooling1D()(x)


def lstm(x: Any, config: Config) -> Any:
    """Hochreiter and Schmidhuber, Neural Computation 9, 1997; the mean of its outputs after each word."""
    return layers.GlobalAveragePooling1D()(layers.LSTM(config.units, return_sequences=True)(x))


def bilstm(x: Any, config: Config) -> Any:
    """Two of them, of which one reads the text from its end."""
    both = layers.Bidirectional(layers.LSTM(config.units, return_sequences=True))
    return layers.GlobalAveragePooling1D()(both(x))


def transformer(x: Any, config: Config) -> Any:
    """An encoder of one block (Vaswani et al., NeurIPS 2017) with learned positions; the mean of its outputs."""
    x = Positions()(x)
    attention = layers.MultiHeadAttention(config.heads, -(-config.width // config.heads))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(config.dropout)(attention(x, x))]))
    hidden = layers.Dense(config.width)(layers.Dense(2 * config.width, "relu")(x))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(config.dropout)(hidden)]))
    return layers.GlobalAveragePooling1D()(x)


class Positions(layers.Layer):
    """Adds to the vector of each word one that is learned for its place."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the vectors, one for each place."""
        self.vectors = self.add_weight(shape[1:], keras.initializers.RandomUniform(-0.05, 0.05), name="vectors")

    def call(self, inputs: Any) -> Any:
        """Add them."""
        return inputs + self.vectors


NETWORKS: dict[str, Callable[[Any, Config], Any]] = {
    function.__name__: function for function in (embedding, lstm, bilstm, transformer)
}


def network(config: Config, words: int, length: int, classes: int) -> keras.Model:
    """The network that is asked for.

    Parameters
    ----------
    config : Config
        Its name and its sizes.
    words : int
        Numbers of words, 0 and that of unknown words included.
    length : int
        Words of a text.
    classes : int
        Length of the logits.
    """
    text = keras.Input((length,), dtype="int32", name="text")
    x = layers.Embedding(words, config.width, mask_zero=True)(text)
    x = layers.Dropout(config.drop_words, noise_shape=(None, length, 1))(x)
    x = layers.Dropout(config.dropout)(NETWORKS[config.network](x, config))
    return keras.Model(text, layers.Dense(classes)(x), name=config.network)
