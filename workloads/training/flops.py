"""Floating point operations: what a network needs of them, and the most that this machine reaches.

Matrix products and convolutions count, a multiplication and an addition as two operations; what is done element
by element is left out, and so is what the loss does not need. That is the convention of model FLOPs utilisation
(Chowdhery et al., PaLM, appendix B), whose other half is `TRAINING`. Each engine counts them in what it compiles.
"""

import math
import time
from collections.abc import Callable
from typing import Any

TRAINING = 3
"""Operations of a training step over those of the forward pass: the backward pass has two products for each one of the
forward pass, for the gradients of the inputs and of the weights. Recomputation is not counted."""

_LARGEST = 8192  # rows of the matrices multiplied for the peak: 256 MiB each in float32
_ENOUGH_S = 0.005  # a product that takes this long consists of arithmetic, not of overhead
_PATIENCE_S = 0.15


def peak(square: Callable[[int, str], Callable[[], Any]], dtype: str) -> float:
    """Measure how fast the device on which this rank trains multiplies matrices, as large as it takes.

    Parameters
    ----------
    square : function
        Function of the engine: from number of rows and type to a function that multiplies a matrix by itself.
    dtype : str
        Type in which the network computes.

    Returns
    -------
    float
        FLOP/s of the fastest of a few products; it takes some tenths of a second.
    """
    rows, best = 512, 0.0
    while True:
        multiply = square(rows, dtype)
        fastest, repeats, start = math.inf, 0, time.perf_counter()
        # The slower it seems, the more often it is tried: something else may be using the machine.
        while repeats < 4 or (fastest >= _ENOUGH_S and time.perf_counter() - start < _PATIENCE_S):
            begin = time.perf_counter()
            multiply()
            fastest = min(fastest, time.perf_counter() - begin)
            repeats += 1
        best = max(best, 2 * rows**3 / fastest)
        if fastest >= _ENOUGH_S or rows == _LARGEST:
            return best
        rows *= 2


def recurrent(gates: int, items: int, inputs: int, units: int, layers: int, ways: int) -> int:
    """Return the multiply-adds of recurrent layers that a library computes as one operation, as cuDNN does.

    Parameters
    ----------
    gates : int
        Products per unit: 4 of an LSTM, 3 of a GRU, 1 of a plain layer.
    items : int
        Number of items of all sequences together.
    inputs : int
        Length of an item.
    units, layers : int
        Units of a layer in one direction, and number of layers one upon the other.
    ways : int
        2 where each layer reads a sequence from both ends, otherwise 1.
    """
    read = inputs + (layers - 1) * ways * units  # read by one unit of every layer, besides the layers' own states
    return items * ways * gates * units * (read + layers * units)
