"""DeepCFD's own data and measure: geometry -> velocity and pressure, 981 channel flows computed with OpenFOAM.

Format
------
dataX.pkl, dataY.pkl: pickled arrays (N, 3, Nx, Ny), x along the channel; published: N = 981, 172 x 79 cells. The
channels of X are the signed distance from the obstacle, the region (0 obstacle, 1 fluid, 2 wall, 3 inlet, 4 outlet),
the signed distance from the walls; those of Y are Ux, Uy, p. The first 70 % are for training, the others for testing.

References
----------
M. D. Ribeiro, A. Rehman, S. Ahmed, A. Dengel, "DeepCFD: Efficient Steady-State Laminar Flow Approximation with Deep
Convolutional Neural Networks", arXiv:2004.08826, 2020; https://github.com/mdribeiro/DeepCFD (format, split, measure).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from launch.errors import Refusal
from workloads.cfd_resnet.metrics import TINY, relative_error, squared_errors
from workloads.data import pickles

FILES = ("dataX.pkl", "dataY.pkl")
FIELDS = ("u", "v", "p")
OBSTACLE, REGIONS = 0, 5
SOURCE = (
    "DeepCFD.zip of Zenodo record 3666056 has it (https://zenodo.org/record/3666056): unpack it, and give its folder"
)
TRAINED = 0.7  # part of the flows to train on or to choose by, as published
CHOSEN_BY = 0.1  # part of those to choose by instead of training on; the published work chose by the test flows


class Fields(NamedTuple):
    """Geometries and their fields, x along axis 2.

    Parameters
    ----------
    inputs : array (N, H, W, 4), float32
        Obstacle (1, else 0), and the three channels of X, each divided by its largest magnitude.
    fields : array (N, H, W, 3), float32
        Ux, Uy, p, each divided by its root mean square on the training flows.
    """

    inputs: np.ndarray
    fields: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def load(self, index: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return inputs, and targets ``flow`` and ``mask``; indices from ``len(self)`` on are mirrored flows."""
        mirrored, which = np.divmod(np.asarray(index), len(self))
        inputs, fields = self.inputs[which], self.fields[which]
        turn = mirrored == 1
        inputs[turn], fields[turn] = inputs[turn, ::-1], fields[turn, ::-1] * np.array((1, -1, 1), np.float32)
        return inputs, {"flow": fields, "mask": inputs[..., :1]}


class Splits(NamedTuple):
    """The sets to train on, to choose by and to report on, and the divisors of the fields, (3,)."""

    train: Fields
    validation: Fields
    test: Fields
    scale: np.ndarray


def read(folder: Path, flows: int = 0) -> Splits:
    """Read the two files, and check all values.

    Parameters
    ----------
    folder : Path
        Folder that contains `FILES`.
    flows : int
        Number of training flows, the first ones; 0: all.

    Raises
    ------
    Refusal
        If a file is absent, cut short, contains anything but one array, or has values that cannot be learned from.
    """
    x, y = (_array(folder / name) for name in FILES)
    if x.ndim != 4 or x.shape[1] != 3 or x.shape != y.shape or 0 in x.shape[2:]:
        raise Refusal(
            f"{folder} has X of shape {_by(x)} and Y of shape {_by(y)}: give (N, 3, Nx, Ny) of both, as DeepCFD has"
        )
    for name, array in zip(FILES, (x, y)):
        finite = np.isfinite(array)
        if not finite.all():
            place = tuple(int(axis[0]) for axis in np.nonzero(~finite))
            raise Refusal(
                f"{folder / name} has {array[place]} in channel {place[1]} of flow {place[0]}: fix it or leave it out"
            )
    region = x[:, 1]
    wrong = (region != np.round(region)) | (region < 0) | (region >= REGIONS)
    if wrong.any():
        raise Refusal(
            f"{folder / FILES[0]} has the region {region[wrong][0]:g} in flow {int(np.nonzero(wrong)[0][0])}: "
            f"there are 0 (obstacle) to {REGIONS - 1}"
        )
    trained = int(len(x) * TRAINED)
    learned = trained - max(1, int(trained * CHOSEN_BY))
    if learned < 1 or flows > learned:
        raise Refusal(
            f"{folder} has {len(x)} flows, which leaves {max(learned, 0)} to learn from: "
            + (f"give --flows {learned} or less" if flows else "give more of them")
        )
    with np.errstate(over="ignore"):
        scale = np.sqrt(np.mean(y[:learned] ** 2, axis=(0, 2, 3)))
    usable = np.isfinite(scale) & (scale > 0)
    if not usable.all():
        channel = int(np.argmin(usable))
        what = "only zeros" if scale[channel] == 0 else "too large values"
        raise Refusal(f"{folder / FILES[1]} has {what} in channel {channel}: give Ux, Uy and p")
    # A network's output is set to 0 in obstacles, which is right only if the fields are 0 there.
    solid = region == OBSTACLE
    solid &= not (y * solid[:, None]).any()
    largest = np.maximum(np.abs(x[:learned]).max(axis=(0, 2, 3)), TINY)
    inputs = np.concatenate([solid[:, None], x / largest[:, None, None]], axis=1)
    fields = y / scale[:, None, None]
    inputs, fields = (np.ascontiguousarray(a.transpose(0, 3, 2, 1), np.float32) for a in (inputs, fields))

    def part(first: int, last: int) -> Fields:
        return Fields(inputs[first:last], fields[first:last])

    return Splits(part(0, flows or learned), part(learned, trained), part(trained, len(x)), scale.astype(np.float32))


class Measure:
    """DeepCFD's measure of a network, and the same of the mean training flow.

    Parameters
    ----------
    sets : Splits
        Sets from which the mean flow and the scale are taken.
    """

    def __init__(self, sets: Splits) -> None:
        self._scale = sets.scale
        self._mean = sets.train.fields.mean(axis=0)

    def statistics(self, targets: dict[str, Any], outputs: Any) -> dict[str, Any]:
        """Return sums over the examples of a batch; outputs are (B, H, W, 3), as `Fields.fields`."""
        sums = {}
        for prefix, fields in (("", outputs), ("mean_field_", self._mean * (1.0 - targets["mask"]))):
            squares = ops.sum(squared_errors(fields, targets["flow"]), axis=0) * self._scale**2
            sums |= {f"{prefix}squared_error_{name}": squares[place] for place, name in enumerate(FIELDS)}
            velocity, true = (value[..., :2] * self._scale[:2] for value in (fields, targets["flow"]))
            sums[f"{prefix}error"] = ops.sum(relative_error(velocity, true))
        return sums

    def summarise(self, totals: dict[str, Any], examples: int) -> dict[str, float]:
        """Return the metrics, from sums over a whole set.

        Returns
        -------
        dict of str to float
            ``squared_error_u``, ``_v``, ``_p`` and their sum ``squared_error``: squared differences summed over the
            cells, the mean over the examples, in the units of the data: "Ux MSE" ... "Total MSE" of the paper, 0.707,
            0.213, 1.009, 1.929. ``error``: |predicted - true| / |true| of the velocity, the mean over the examples. The
            same for the mean training flow as ``mean_field_...``; ``times_better``: its ``squared_error`` over the
            network's.
        """
        metrics = {name: float(total) / examples for name, total in totals.items()}
        for prefix in ("", "mean_field_"):
            metrics[f"{prefix}squared_error"] = sum(metrics[f"{prefix}squared_error_{name}"] for name in FIELDS)
        metrics["times_better"] = metrics["mean_field_squared_error"] / max(metrics["squared_error"], TINY)
        return metrics


def _array(path: Path) -> np.ndarray:
    try:
        array = pickles.load(path)
    except FileNotFoundError:
        raise Refusal(f"{path.parent} has no {path.name}: {SOURCE}") from None
    except (OSError, pickles.Unreadable) as error:
        raise Refusal(f"{path} cannot be read as a pickled array ({error}): {SOURCE}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        raise Refusal(f"{path} holds {kind}, not an array of numbers: {SOURCE}")
    return array.astype(np.float64, copy=False)  # squares and sums of float16 and of short integers overflow


def _by(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))
