"""Forecasts by the reservoirs of all ranks, each of which has a part of the ring; their errors, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rankloop

from workloads.chaos.reservoir import SYNCHRONISED, Reservoir


class Part:
    """The groups of points of one rank, and the exchange of edges with the neighbouring ranks.

    Parameters
    ----------
    ring : mpi4py.MPI.Comm or None
        Communicator of the ranks; None if there is only one.
    points, groups : int
        Number of points and number of groups on the whole ring.
    overlap : int
        Points on either side of a group that its reservoir sees too, if there are several groups.
    """

    def __init__(self, ring: Any, points: int, groups: int, overlap: int) -> None:
        self._ring = ring
        self.rank, self.size = (ring.rank, ring.size) if ring else (0, 1)
        self.width, self.overlap = points // groups, overlap if groups > 1 else 0
        self.inputs = self.width + 2 * self.overlap
        self.groups = range(self.rank * groups // self.size, (self.rank + 1) * groups // self.size)
        self.mine = slice(self.groups.start * self.width, self.groups.stop * self.width)

    def learned(self, series: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs (T, inputs) of a group, and its points one step later (T, width)."""
        first = group * self.width
        seen = np.arange(first - self.overlap, first + self.width + self.overlap) % series.shape[1]
        return series[:-1, seen], series[1:, first : first + self.width]

    def around(self, own: np.ndarray) -> np.ndarray:
        """Return what each group sees, (inputs, groups, N): points of this rank (points, N) and of its neighbours."""
        if not self.overlap:
            return own.reshape(len(self.groups), self.width, -1).transpose(1, 0, 2)
        before, after = own[-self.overlap :], own[: self.overlap]
        if self._ring:
            left, right = (self.rank - 1) % self.size, (self.rank + 1) % self.size
            sent = before.copy(), after.copy()
            before, after = (np.empty(each.shape) for each in sent)
            self._ring.Sendrecv(sent[0], right, 0, before, left, 0)
            self._ring.Sendrecv(sent[1], left, 1, after, right, 1)
        whole = np.concatenate([before, own, after])
        windows = np.lib.stride_tricks.sliding_window_view(whole, self.inputs, axis=0)[:: self.width]
        return np.moveaxis(windows, -1, 0)

    def add_up(self, values: np.ndarray) -> None:
        """Replace values by their sum over all ranks."""
        if self._ring:
            from mpi4py import MPI

            self._ring.Allreduce(MPI.IN_PLACE, values, MPI.SUM)

    def together(self, own: np.ndarray) -> np.ndarray:
        """Return the points of all ranks, along the last axis, on rank 0; on another rank, its own points."""
        parts = self._ring.gather(own) if self._ring else None
        return np.concatenate(parts, axis=-1) if parts else own


class Forecast(NamedTuple):
    """Predictions, and how wrong they are.

    Parameters
    ----------
    errors : ndarray, (steps, starts)
        Error of each forecast after each step: its root mean square over the ring, in standard deviations of the field.
    truth, predicted : ndarray, (steps, points)
        True field and predicted field of the forecast from the first start.
    """

    errors: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray

    def valid_steps(self, threshold: float) -> np.ndarray:
        """Return the steps for which the error of each forecast stays below the threshold: all if it always does."""
        above = self.errors >= threshold
        return np.where(above.any(axis=0), above.argmax(axis=0), len(above))


def predict(
    reservoir: Reservoir, weights: np.ndarray, part: Part, series: np.ndarray, starts: np.ndarray, steps: int
) -> Forecast:
    """Let the reservoirs follow the series up to each start, then predict it; all forecasts make a step together.

    Parameters
    ----------
    reservoir : Reservoir
        Network that all groups share.
    weights : ndarray, (groups, width, units)
        Weights by which each group of this rank reads its points from a state.
    part : Part
        The groups of this rank.
    series : ndarray, (T, points)
        The true series.
    starts : ndarray of int, (starts,)
        Index, in the series, of the first predicted step of each forecast.
    steps : int
        Number of steps of each forecast.
    """
    count, groups = len(starts), len(part.groups)
    state = np.zeros((reservoir.units, groups * count))
    for before in range(SYNCHRONISED, 0, -1):
        state = _next(reservoir, state, part.around(series[starts - before, part.mine].T))
    squares, first = np.empty((steps, count)), np.empty((steps, groups * part.width))
    for number in range(steps):
        with rankloop.step(examples=groups * count):
            seen = reservoir.seen(state).reshape(reservoir.units, groups, count)
            own = np.matmul(weights, seen.transpose(1, 0, 2)).reshape(-1, count)
            squares[number] = np.sum((own.T - series[starts + number, part.mine]) ** 2, axis=1)
            first[number] = own[:, 0]
            state = _next(reservoir, state, part.around(own))
    part.add_up(squares)
    errors = np.sqrt(squares / series.shape[1]) / series.std()
    return Forecast(errors, series[starts[0] : starts[0] + steps], part.together(first))


def _next(reservoir: Reservoir, state: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return reservoir.next(state, seen.reshape(len(seen), -1))


def draw(path: Path, made: Forecast, length: float, lyapunov_step: float, valid: float) -> None:
    """Draw truth, prediction and difference of the first start, if matplotlib is installed.

    Parameters
    ----------
    path : Path
        Path of the PNG.
    made : Forecast
        Forecasts to draw.
    length : float
        Length of the ring.
    lyapunov_step : float
        Length of a time step in Lyapunov times.
    valid : float
        Lyapunov times for which the first forecast is valid.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(8, 5.5), dpi=90, layout="constrained")
    largest = float(np.abs(made.truth).max())
    panels = {"truth": made.truth, "prediction": made.predicted, "prediction - truth": made.predicted - made.truth}
    for axes, (name, values) in zip(figure.subplots(3, 1, sharex=True), panels.items()):
        extent = (0, len(values) * lyapunov_step, 0, length)
        shown: dict[str, Any] = {"extent": extent, "vmin": -largest, "vmax": largest, "interpolation": "nearest"}
        image = axes.imshow(values.T, origin="lower", aspect="auto", cmap="RdBu_r", **shown)
        axes.axvline(valid, color="black", linestyle="--", linewidth=1)
        axes.set(ylabel="place", title=name)
        figure.colorbar(image, ax=axes)
    axes.set_xlabel("Lyapunov times")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
