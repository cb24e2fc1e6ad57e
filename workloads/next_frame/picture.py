"""A film that the network continues: it is shown the first half, and then its own frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from workloads.next_frame.films import Films

SHOWN = 2  # films in the picture
CONTINUED = 40  # films that are continued, at most


def finish(model: Any, films: Films, count: int, figures: Path) -> dict[str, float]:
    """Continue films from the middle on, measure how good that is, and draw some of them.

    Parameters
    ----------
    model : keras.Model
        Network that maps frames to the logits of the next frames.
    films : Films
        Films that were not learned from.
    count : int
        Number of these films.
    figures : Path
        Folder for film.png.

    Returns
    -------
    dict of str to float
        ``mse_continued``: the mean squared error of all frames of the second half of some films, each predicted from
        the first half and the network's own frames; ``mse_continued_last``: that of the last frame that was shown.
    """
    known = films.frames // 2
    true = films(np.arange(min(count, CONTINUED)))
    went, last = continued(model, true, known), true[:, known - 1 : known]
    shown = [each[:SHOWN, ..., 0] for each in (true, ahead(model, true[:SHOWN]), went)]
    draw(figures / "film.png", *shown, known=known)
    found = {"mse_continued": went[:, known:], "mse_continued_last": last}
    return {name: float(np.mean((guess - true[:, known:]) ** 2)) for name, guess in found.items()}


def ahead(model: Any, films: np.ndarray) -> np.ndarray:
    """Return each frame as predicted from all frames before it, (films, frames, H, W, 1); the first frame is 0."""
    found = np.zeros_like(films)
    found[:, 1:] = ops.convert_to_numpy(ops.sigmoid(model(films[:, :-1], training=False)))
    return found


def continued(model: Any, films: np.ndarray, known: int) -> np.ndarray:
    """Return films whose frames from ``known`` on are predicted from the frames before, predicted ones included."""
    films = films.copy()
    films[:, known:] = 0
    for frame in range(known, films.shape[1]):
        films[:, frame] = ahead(model, films)[:, frame]  # what comes later does not matter for it
    return films


def draw(path: Path, true: np.ndarray, ahead: np.ndarray, went: np.ndarray, known: int) -> None:
    """Draw films below each other, three rows each.

    Parameters
    ----------
    path : Path
        Path of the PNG.
    true, ahead, went : ndarray, (films, frames, H, W)
        The films, their predictions one frame ahead, and their continuations.
    known : int
        Number of frames that were shown before they were continued.
    """
    films, frames = true.shape[:2]
    shown = min(frames, 20)
    figure = Figure(figsize=(0.9 * shown + 1, 0.4 + 2.9 * films), dpi=80, layout="constrained")
    axes = figure.subplots(3 * films, shown, squeeze=False)
    for film in range(films):
        rows = {"film": true[film], "one frame\nahead": ahead[film], f"continued\nfrom {known + 1}": went[film]}
        for row, (name, pictures) in zip(axes[3 * film :], rows.items()):
            row[0].set_ylabel(name, fontsize="small")
            for frame, (place, picture) in enumerate(zip(row, pictures)):
                place.set(xticks=[], yticks=[])
                if name == "film" or frame >= (known if "continued" in name else 1):
                    place.imshow(picture, cmap="gray", vmin=0, vmax=1)
                else:
                    place.set_frame_on(False)
    for frame, place in enumerate(axes[0]):
        place.set_title(str(frame + 1), fontsize="small")
    figure.savefig(path)
