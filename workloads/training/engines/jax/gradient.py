"""The gradient of a function within a network."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def gradient(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """See `engines.interface.Engine`."""
    value, pull = jax.vjp(function, jnp.asarray(x))
    [gradient_of_x] = pull(jnp.ones_like(value))
    return value, gradient_of_x
