"""How far a predicted flow is from the solver's, and how well it obeys the physics, compared with the mean flow.

Velocities are in units of the peak velocity at the inlet, lengths in cells, forces in density x u_max^2 x cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from workloads.cfd_resnet.data import Flows

ops: Any = keras.ops  # its annotations do not say what it returns

Tensor = Any  # a tensor of the engine, or an array
TINY = 1e-6  # a norm below this is replaced by it: a flow without v has no relative error of v


@dataclass(frozen=True, eq=False, slots=True)
class Metrics:
    """Measures of a network on flows of one channel.

    Parameters
    ----------
    mean_field : array (H, W, 2)
        `mean_field` of the training flows, which the network is compared with; obstacles are cut out of it.
    """

    mean_field: np.ndarray

    def statistics(self, targets: dict[str, Tensor], outputs: Tensor) -> dict[str, Tensor]:
        """Return sums over the examples of a batch, for the network and for the mean field.

        Parameters
        ----------
        targets : dict
            ``flow`` (B, H, W, 2), ``mask`` (B, H, W, 1) and ``reynolds`` (B,), u_max H / viscosity.
        outputs : tensor (B, H, W, 2)
            The predicted flow.
        """
        flow, fluid = targets["flow"], 1.0 - targets["mask"]
        reynolds = targets["reynolds"]
        drag = drag_by_balance(flow, targets["mask"], reynolds)
        flux = ops.sum(flow[..., 0], axis=1)
        squares = ops.sum(squared_errors(outputs, flow), axis=0)
        sums = {"drag": ops.sum(ops.abs(drag)), "square_u": squares[0], "square_v": squares[1]}
        for name, field in (("network", outputs), ("mean_field", self.mean_field * fluid)):
            own = {
                "error": relative_error(field, flow),
                "error_u": relative_error(field[..., :1], flow[..., :1]),
                "error_v": relative_error(field[..., 1:], flow[..., 1:]),
                "flux": ops.mean(ops.abs(ops.sum(field[..., 0], axis=1) - flux) / ops.abs(flux), axis=1),
                "drag": ops.abs(drag_by_balance(field, targets["mask"], reynolds) - drag),
            }
            for measure, function in (("divergence", divergence), ("slip", slip)):
                own[measure], own[f"{measure}_places"] = function(field, targets["mask"])
            sums |= {f"{name}/{measure}": ops.sum(values) for measure, values in own.items()}
        return sums

    def summarise(self, totals: dict[str, Any], examples: int) -> dict[str, float]:
        """Return the metrics, from sums over a whole set.

        Returns
        -------
        dict of str to float
            ``error``, ``error_u``, ``error_v``: |predicted - solver| / |solver| in the L2 norm over the cells, of both
            components and of each, the mean over the examples. ``flux_error``: difference from the solver's flux
            through a column over that flux, the mean over columns and examples. ``drag_error``: sum of the differences
            from the solver's drag, both by `drag_by_balance`, over the sum of the drags. ``divergence``: root mean
            square over the cells inside the fluid, u_max per cell. ``slip``: root mean square velocity on walls, u_max.
            The same for the mean field, without the components, is ``mean_field_...``. ``times_better``: its error over
            the network's. ``squared_error``, ``squared_error_u``, ``squared_error_v``: `squared_errors`, mean over the
            examples, u_max^2.
        """
        metrics = {}
        for name, prefix in (("network", ""), ("mean_field", "mean_field_")):
            own = {key.partition("/")[2]: float(value) for key, value in totals.items() if key.startswith(f"{name}/")}
            metrics[f"{prefix}error"] = own["error"] / examples
            if not prefix:
                metrics |= {key: own[key] / examples for key in ("error_u", "error_v")}
            metrics[f"{prefix}flux_error"] = own["flux"] / examples
            metrics[f"{prefix}drag_error"] = own["drag"] / max(float(totals["drag"]), TINY)
            for key in ("divergence", "slip"):
                metrics[f"{prefix}{key}"] = (own[key] / max(own[f"{key}_places"], 1.0)) ** 0.5
        for key in ("u", "v"):
            metrics[f"squared_error_{key}"] = float(totals[f"square_{key}"]) / examples
        metrics["squared_error"] = metrics["squared_error_u"] + metrics["squared_error_v"]
        metrics["times_better"] = metrics["mean_field_error"] / max(metrics["error"], TINY)
        return metrics


def mean_field(parts: Sequence[Flows]) -> np.ndarray:
    """Return the best prediction that ignores the obstacles: the mean of each cell where it is fluid.

    Parameters
    ----------
    parts : sequence of Flows
        The training flows. Their mirror images at the middle of the channel also count, with v of the other sign.

    Returns
    -------
    array (H, W, 2), float32
        Mean flow; 0 where a cell is never fluid.
    """
    fluid: Any = sum(np.sum(1.0 - part.mask, axis=0, dtype=np.float64) for part in parts)
    total: Any = sum(np.sum(part.flow, axis=0, dtype=np.float64) for part in parts)
    both = total + total[::-1] * (1.0, -1.0)
    return (both / np.maximum(fluid + fluid[::-1], 1)).astype(np.float32)


def relative_error(field: Tensor, flow: Tensor) -> Tensor:
    """Return |field - flow| / |flow| per example, in the L2 norm over cells and components: (B, H, W, C) to (B,)."""
    return norm(field - flow) / ops.maximum(norm(flow), TINY)


def squared_errors(field: Tensor, flow: Tensor) -> Tensor:
    """Return DeepCFD's measure, squared differences summed over the cells: (B, H, W, C) to (B, C).

    It follows the code of Ribeiro et al. 2020 (arXiv 2004.08826): its "Ux MSE", "Uy MSE", "p MSE" and their sum, "Total
    MSE", are the means of these over the examples. They grow with the number of cells and the square of the unit of
    velocity.
    """
    return ops.sum(ops.square(field - flow), axis=[1, 2])


def norm(field: Tensor) -> Tensor:
    """Return the L2 norm of each example: (B, H, W, C) to (B,)."""
    return ops.sqrt(ops.sum(ops.square(field), axis=[1, 2, 3]))


def divergence(field: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squares of du/dx + dv/dy by central differences, in fluid cells with four fluid neighbours.

    Returns
    -------
    squares, cells : tensors (B,)
        Sum of the squares in each example, (u_max / cell)^2, and number of such cells.
    """
    fluid = 1.0 - mask[..., 0]
    inside = fluid[:, 1:-1, 1:-1] * fluid[:, 2:, 1:-1] * fluid[:, :-2, 1:-1] * fluid[:, 1:-1, 2:] * fluid[:, 1:-1, :-2]
    along = (field[:, 1:-1, 2:, 0] - field[:, 1:-1, :-2, 0]) / 2
    across = (field[:, 2:, 1:-1, 1] - field[:, :-2, 1:-1, 1]) / 2
    return ops.sum(inside * ops.square(along + across), axis=[1, 2]), ops.sum(inside, axis=[1, 2])


def slip(field: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squares of the velocity on walls: of the channel, and the faces between an obstacle and the fluid.

    A face lies half a cell from the centre of the next cell a, and b is the cell after it. The velocity at the face is
    extrapolated to 3/2 a - 1/2 b, which is exact for a linear profile, and not 0 for the solver's curved ones.

    Returns
    -------
    squares, faces : tensors (B,)
        Sum of the squares in each example, u_max^2, and number of faces.
    """
    walls = [[0, 0], [1, 1], [0, 0], [0, 0]]
    squares, faces = 0.0, 0.0
    for rows, solid in (
        (ops.pad(field, walls), ops.pad(mask, walls, constant_values=1)),
        (ops.transpose(field, [0, 2, 1, 3]), ops.transpose(mask, [0, 2, 1, 3])),
    ):
        for u, s in ((rows, solid), (rows[:, ::-1], solid[:, ::-1])):
            face = s[:, :-2] * (1 - s[:, 1:-1]) * (1 - s[:, 2:])
            squares += ops.sum(face * ops.square(1.5 * u[:, 1:-1] - 0.5 * u[:, 2:]), axis=[1, 2, 3])
            faces += ops.sum(face, axis=[1, 2, 3])
    return squares, faces


def drag_by_balance(field: Tensor, mask: Tensor, reynolds: Tensor | float) -> Tensor:
    """Return the force along the channel on all obstacles, from the velocities alone.

    The networks predict no pressure, so the balance of mechanical energy between the first and the last column gives
    its drop, (dissipation + growth of the flux of kinetic energy) / flux, and the balance of momentum the force:
    pressure drop x height - growth of the flux of momentum - friction on the walls of the channel. It assumes that the
    pressure is even over the first and the last column, and that velocity is linear between cells.

    Parameters
    ----------
    field : tensor (B, H, W, 2)
        Velocities; 0 in obstacles.
    mask : tensor (B, H, W, 1)
        1 in obstacles.
    reynolds : tensor (B,) or float
        Reynolds number, u_max H / viscosity.

    Returns
    -------
    tensor (B,)
        Force over density x u_max^2 x H, as in `Flows.drag`.
    """
    height = field.shape[1]
    viscosity = height / reynolds  # over u_max, cells
    u, speed2 = field[..., 0], ops.sum(ops.square(field), axis=-1)
    fluid = 1.0 - mask[..., 0]

    def sheared(a: tuple, b: tuple) -> Tensor:
        """Return squared differences over faces; a face to an obstacle is half a cell away, and the flow is 0 there."""
        both = fluid[a] * fluid[b]
        between = ops.sum(ops.square(field[a] - field[b]), axis=-1)
        return both * between + (1 - both) * 2 * (speed2[a] + speed2[b])

    every, low, high = slice(None), slice(None, -1), slice(1, None)
    columns = np.ones(field.shape[2], np.float32)  # from the first to the last centre
    columns[[0, -1]] = 0.5
    across = ops.sum(sheared((every, low), (every, high)), axis=1) + 2 * (speed2[:, 0] + speed2[:, -1])
    along = ops.sum(sheared((every, every, low), (every, every, high)), axis=[1, 2])
    dissipation = viscosity * (along + ops.sum(across * columns, axis=1))
    friction = viscosity * ops.sum(2 * (u[:, 0] + u[:, -1]) * columns, axis=1)

    def growth(flux: Tensor) -> Tensor:
        return ops.sum(flux[:, :, -1] - flux[:, :, 0], axis=1)

    through = ops.maximum(ops.sum(u[:, :, 0], axis=1), TINY)
    drop = (dissipation + growth(u * speed2 / 2)) / through
    return (drop * height - growth(u * u) - friction) / height
