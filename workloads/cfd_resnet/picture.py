"""A picture of what a network has learned: obstacles, the solver's flow, the network's, and their difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

COLUMNS = ("obstacles", "solver", "network", "|network - solver|")


def draw(
    path: Path,
    mask: np.ndarray,
    flow: np.ndarray,
    predicted: np.ndarray,
    most: int = 4,
    unit: str = "peak speed at the inlet",
) -> None:
    """Draw the first few flows, a row each, as speeds.

    Parameters
    ----------
    path : Path
        Path of the PNG.
    mask : array (N, H, W, 1)
        1 in obstacles.
    flow, predicted : array (N, H, W, 2)
        u and v of the solver and of the network.
    most : int
        Highest number of rows.
    unit : str
        Unit of the speeds.
    """
    count, (height, width) = min(most, len(mask)), mask.shape[1:3]
    solid = mask[:count, ..., 0] > 0.5
    speed = np.linalg.norm(flow[:count], axis=-1)
    error = np.linalg.norm(predicted[:count] - flow[:count], axis=-1)
    relative = np.sqrt((error**2).sum(axis=(1, 2)) / (speed**2).sum(axis=(1, 2)))
    # A jet through a narrow gap is far faster than the rest, so the scale ends where one cell in 200 lies above it.
    fastest, furthest = (max(float(np.quantile(field[~solid], 0.995)), 1e-6) for field in (speed, error))
    fields = (np.where(solid, 1.0, np.nan), speed, np.linalg.norm(predicted[:count], axis=-1), error)
    scales = (
        {"cmap": "Greys", "vmin": 0, "vmax": 1.4},
        {"cmap": "viridis", "vmin": 0, "vmax": fastest},
        {"cmap": "viridis", "vmin": 0, "vmax": fastest},
        {"cmap": "magma", "vmin": 0, "vmax": furthest},
    )
    figure = Figure(figsize=(13, 0.9 + 3.1 * count * height / width), dpi=110, layout="constrained")
    axes = figure.subplots(count, len(COLUMNS), sharex=True, sharey=True, squeeze=False)
    for row in range(count):
        for column, (field, scale) in enumerate(zip(fields, scales)):
            shown = field[row] if column == 0 else np.ma.array(field[row], mask=solid[row])
            axes[row, column].set_facecolor("white" if column == 0 else "0.75")
            image = axes[row, column].imshow(shown, interpolation="nearest", extent=(0, width, height, 0), **scale)
            if row == count - 1 and column in (2, 3):
                label = f"speed / {unit}" if column == 2 else f"difference / {unit}"
                figure.colorbar(
                    image,
                    ax=axes[:, 1:3] if column == 2 else axes[:, 3],
                    location="bottom",
                    label=label,
                    extend="max",
                    aspect=40 if column == 2 else 20,
                )
        axes[row, 0].set_ylabel("cells")
        axes[row, 3].set_title(f"{relative[row]:.1%} of the solver's norm", fontsize="small")
    for column, title in enumerate(COLUMNS):
        axes[0, column].set_title(title if column < 3 else f"{title}\n{axes[0, 3].get_title()}", fontsize="small")
        axes[-1, column].set_xlabel("cells")
    figure.savefig(path)
