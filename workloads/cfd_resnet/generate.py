"""The flows of a set, computed: draw obstacles, solve, draw again where no steady flow is found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from launch.errors import Refusal
from workloads.cfd_resnet.obstacles import Split, masks_from, random_mask

# Part of the cache's key: raise it with every change that changes a flow.
VERSION = 2
# A flow is steady once neither its velocity nor the force on its obstacles changes by more than this in the time in
# which the fastest fluid passes one height of the channel. Even at 1.6 times this, 19 of 19 small flows were within
# 0.05 % (L2) of what they became.
TOLERANCE = 2e-4
# Times that the fastest fluid passes the channel's length, after which a flow counts as unsteady; most need 2 to 7.
PASSES = 20
EVERY = 500  # steps between two looks
STREAMS = ("train", "validation", "test")  # of random numbers, by their place
CELLS = 8_192  # at once on a CPU core: so the populations stay in its caches


def masks_of_files(parameters) -> dict[str, np.ndarray]:
    """The masks of ``parameters.masks`` by file name; see `obstacles.masks_from`."""
    return masks_from(parameters.masks, parameters.height, parameters.width)


def draw(parameters, split: Split, index: int, attempt: int) -> np.ndarray:
    """A random mask of a set: a function of its arguments alone, whoever asks and in whatever order."""
    rng = np.random.default_rng([parameters.seed, STREAMS.index(split), index, attempt])
    return random_mask(rng, parameters.height, parameters.width, parameters.obstacles, split)


def make(parameters, split: Split, indices: range, records: np.ndarray, news: Callable[[int], bool]) -> None:
    """Compute flows.

    Parameters
    ----------
    parameters : FlowSet
        The set.
    split : "train", "validation" or "test"
        Which part of it.
    indices : range
        Which flows of that split.
    records : array (len(indices),), `cache.record_type`
        Filled in.
    news : function
        Told the number of finished flows, often; if it returns False, this function returns without having finished.

    Raises
    ------
    Refusal
        If a mask from a file has no steady flow, or nearly no random one has.
    """
    from workloads.cfd_resnet.channel import Case
    from workloads.cfd_resnet.lattice_boltzmann import Batch, Steady

    case = Case(parameters.height, parameters.length, parameters.nu, u_max=parameters.u_max)
    files = masks_of_files(parameters) if parameters.masks and split == "validation" else None
    tolerance = TOLERANCE * 1000 * parameters.u_max / parameters.height
    most = PASSES * parameters.length / parameters.u_max
    slots = max(1, min(len(indices), 8, CELLS // (case.height * case.length)))
    batch = Batch(case, slots)
    running: dict[int, tuple[int, int]] = {}  # slot: index, attempt
    waiting = [(index, 0) for index in reversed(indices)]
    done = 0

    def solid(mask: np.ndarray) -> np.ndarray:
        return np.pad(mask, [(0, 0), (0, case.length - mask.shape[1])])

    def start(slot: int) -> None:
        if waiting:
            index, attempt = running[slot] = waiting.pop()
            mask = list(files.values())[index] if files else draw(parameters, split, index, attempt)
            batch.put(slot, solid(mask))
        else:
            batch.clear(slot)

    def store(index: int, flow: Steady) -> None:
        record = records[index - indices.start]
        width = parameters.width
        record["flow"][..., 0], record["flow"][..., 1] = flow.u[:, :width] / case.u_max, flow.v[:, :width] / case.u_max
        record["mask"][..., 0] = batch.solid(slot)[:, :width]
        record["drag"], record["lift"] = flow.force / (case.u_max**2 * case.height)

    for slot in range(slots):
        start(slot)
    while running and news(done):
        change = batch.advance(EVERY)
        for slot, (index, attempt) in list(running.items()):
            if change[slot] < tolerance:
                store(index, batch.take(slot))
                done += 1
            elif change[slot] >= tolerance and batch.steps(slot) < most:
                continue
            elif files:
                raise Refusal(
                    f"the flow around {parameters.masks / list(files)[index]} does not become steady at --reynolds "
                    f"{parameters.reynolds:g}: give a lower one, or take the file away"
                )
            elif attempt == 20:
                raise Refusal(
                    f"20 random shapes in a row have no steady flow at --reynolds {parameters.reynolds:g} and --u-max "
                    f"{parameters.u_max:g}: give lower ones"
                )
            else:
                waiting.append((index, attempt + 1))
            del running[slot]
            start(slot)
    news(done)
