"""A program for the part pinning: prints which GPUs its rank sees, after it has computed something on the first."""

import json
import os

import jax
import jax.numpy as jnp

from launch import gpus

jnp.ones((64, 64)).sum().block_until_ready()
print(
    json.dumps(
        {
            "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "uuids": gpus.identities(gpus.visible())[0],
            "devices": jax.local_device_count(),
            "kind": jax.devices()[0].device_kind,
        }
    ),
    flush=True,
)
