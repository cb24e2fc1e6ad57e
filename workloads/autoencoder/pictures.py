"""The pictures of a run: reconstructions, a walk through the space of codes, samples; and the error of components."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from workloads.autoencoder.components import Components
from workloads.autoencoder.draws import Draws

COLUMNS = 12
WALKS = 5
SAMPLES = 6  # rows of samples


def finish(
    model: keras.Model, components: Components | None, pixels: np.ndarray, draws: Draws, figures: Path
) -> dict[str, float]:
    """Draw the pictures.

    Parameters
    ----------
    model : keras.Model
        Network made by `workloads.autoencoder.networks.autoencoder`.
    components : Components, optional
        Principal components that the network is compared with.
    pixels : ndarray of uint8, (N, H, W, C)
        Images that are measured on.
    draws : Draws
        Random draws for these images.
    figures : Path
        Folder for reconstructions.png, for walk.png if there are enough images, and for samples.png if the model is
        variational.

    Returns
    -------
    dict of str to float
        ``squared_error_components``: the squared error per image of the components, if there are any.
    """
    seen, clean = draws.fixed(pixels, np.arange(len(pixels)))
    some = {name: each[:COLUMNS] for name, each in seen.items()}
    rows = {"image": clean[:COLUMNS], "decoded": _images(model(some, training=False)["image"])}
    if draws.noise:
        rows = {"image": rows["image"], "seen": some["image"], "decoded": rows["decoded"]}
    if components:
        rows["components"] = components(some["image"])
    _draw(figures / "reconstructions.png", list(rows.values()), list(rows))
    ends = seen["image"][COLUMNS : COLUMNS + 2 * WALKS]
    decode = model.get_layer("decoder")
    if len(ends) > 1:
        codes = model.get_layer("encoder")(ends, training=False)
        codes = np.asarray(keras.ops.convert_to_numpy(codes[0] if draws.binary else codes), np.float32)
        way = np.linspace(0, 1, COLUMNS, dtype=np.float32)[:, None]
        walks = [_images(decode((1 - way) * first + way * last)) for first, last in zip(codes[::2], codes[1::2])]
        _draw(figures / "walk.png", walks)
    if draws.binary:
        drawn = np.random.default_rng(0).standard_normal((SAMPLES, COLUMNS, draws.latent), np.float32)
        _draw(figures / "samples.png", [_images(decode(each)) for each in drawn])
    return {"squared_error_components": components.error(seen["image"], clean)} if components else {}


def _images(logits: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.sigmoid(logits)), np.float32)


def _draw(path: Path, rows: Sequence[np.ndarray], names: Sequence[str] = ()) -> None:
    """Draw rows of images, each (columns, H, W, C), as one picture."""
    figure = Figure(figsize=(0.62 * COLUMNS + 0.9 * bool(names), 0.66 * len(rows)), dpi=100, layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for place, axis in enumerate(axes):
        strip = np.concatenate(list(np.pad(rows[place], ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)), axis=1)
        axis.imshow(np.clip(strip.squeeze(), 0, 1), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], frame_on=False)
        if names:
            axis.set_ylabel(names[place], rotation=0, ha="right", va="center", fontsize=8)
    figure.savefig(path)
