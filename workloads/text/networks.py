"""The networks, which map the numbers of words to logits. All of them begin with a vector for each word.

Short texts are padded with 0, which every network ignores. In training, whole words of each text are dropped, and units
of what the network makes of it.
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
    """The mean of an LSTM's outputs after each word (Hochreiter and Schmidhuber, Neural Computation 9, 1997)."""
    return layers.GlobalAveragePooling1D()(layers.LSTM(config.units, return_sequences=True)(x))


def bilstm(x: Any, config: Config) -> Any:
    """The mean of the outputs of two LSTMs, one of which reads the text from its end."""
    both = layers.Bidirectional(layers.LSTM(config.units, return_sequences=True))
    return layers.GlobalAveragePooling1D()(both(x))


def transformer(x: Any, config: Config) -> Any:
    """The mean of the outputs of an encoder of one block (Vaswani et al., NeurIPS 2017) with learned positions."""
    x = Positions()(x)
    attention = layers.MultiHeadAttention(config.heads, -(-config.width // config.heads))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(config.dropout)(attention(x, x))]))
    hidden = layers.Dense(config.width)(layers.Dense(2 * config.width, "relu")(x))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(config.dropout)(hidden)]))
    return layers.GlobalAveragePooling1D()(x)


class Positions(layers.Layer):
    """Adds a vector that is learned for each position to the vector of the word there."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def build(self, shape: tuple[int, ...]) -> None:
        """Create one vector for each position."""
        self.vectors = self.add_weight(shape[1:], keras.initializers.RandomUniform(-0.05, 0.05), name="vectors")

    def call(self, inputs: Any) -> Any:
        """Add the vectors of the positions."""
        return inputs + self.vectors


NETWORKS: dict[str, Callable[[Any, Config], Any]] = {
    function.__name__: function for function in (embedding, lstm, bilstm, transformer)
}


def network(config: Config, words: int, length: int, classes: int) -> keras.Model:
    """Build the network that the options ask for.

    Parameters
    ----------
    config : Config
        Options with the name and the sizes of the network.
    words : int
        Number of different words, with 0 and the number of unknown words included.
    length : int
        Number of words of a text.
    classes : int
        Length of the logits.
    """
    text = keras.Input((length,), dtype="int32", name="text")
    x = layers.Embedding(words, config.width, mask_zero=True)(text)
    x = layers.Dropout(config.drop_words, noise_shape=(None, length, 1))(x)
    x = layers.Dropout(config.dropout)(NETWORKS[config.network](x, config))
    return keras.Model(text, layers.Dense(classes)(x), name=config.network)
