"""Layers that the JAX engine computes in another way on a processor are what Keras makes of them: layers_of_jax.py."""

import os
import subprocess
from pathlib import Path

import pytest
import ranks


@ranks.NEEDS_JAX
@pytest.mark.parametrize("name", ["products", "few", "groups", "pools"])
def test_layers_are_those_of_keras(name: str):
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": f"{ranks.ROOT}:{ranks.ROOT}/launch/inside"}
    script = Path(__file__).with_name("layers_of_jax.py")
    ended = subprocess.run([ranks.JAX, str(script), name], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
