"""What surrounds a checkpoint: the ranks' weights are compared, a run is resumed, and each rank gets its own noise."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from launch.errors import Refusal
from launch.record.rundir import RunDir
from workloads.training import checkpoints
from workloads.training.sharding import Sharding
from workloads.training.step import Diverged

if TYPE_CHECKING:
    import keras

    from workloads.training.engines.interface import Communicator


class Progress(NamedTuple):
    """How far a training had come when a checkpoint was written."""

    step: int = 0  # steps made
    timed_steps: int = 0  # those of them that are timed
    seconds: dict[str, float] = {}  # time of each phase, over all attempts
    ranks_agree: bool = True  # whether all ranks held the same weights at every checkpoint so far


def read(run: RunDir, variables: Sequence[keras.Variable], sharding: Sharding, engine: str) -> Progress:
    """Give the variables the values of a run's newest checkpoint; return how far it had come.

    Raises
    ------
    Refusal
        If the checkpoint is that of another network, or was made with other examples per step.
    """
    checkpoint = checkpoints.latest(run.checkpoints)
    if checkpoint is None:
        if run.events("checkpointed"):
            print(f"no checkpoint is left in {run.checkpoints}: training from step 0", flush=True)
        return Progress()
    then, now = checkpoint.header.get("sharding", {}), asdict(sharding)
    if then != now:
        changed = ", ".join(f"{name} {then.get(name)}, now {now[name]}" for name in now if then.get(name) != now[name])
        raise Refusal(
            f"the checkpoint at step {checkpoint.step} was made with other batches ({changed}): "
            "go on with the options and data of the run, or start a new run"
        )
    checkpoints.restore(checkpoint, variables, engine)
    before = checkpoint.header.get("engine", "horovod")
    made = f", which --engine {before} made, with --engine {engine}, whose noise is another" if before != engine else ""
    print(f"going on after step {checkpoint.step}{made}", flush=True)
    header = checkpoint.header
    return Progress(checkpoint.step, header["timed_steps"], header["seconds"], header["ranks_agree"])


def agreed(
    run: RunDir,
    variables: Sequence[keras.Variable],
    sharding: Sharding,
    engine: str,
    communicator: Communicator,
) -> Progress:
    """Return on every rank what the chief has read; the variables are still to be sent. Parameters and result are those
    of `read`.

    Raises
    ------
    Refusal
        On every rank, for the same reasons as `read`.
    """
    found: Progress | str = ""
    if communicator.rank.is_chief:
        try:
            found = read(run, variables, sharding, engine)
        except Refusal as refusal:  # sent to the others, which would wait for the chief forever
            found = str(refusal)
    found = communicator.broadcast_object(found)
    if isinstance(found, str):
        raise Refusal(found)
    return found


def compare(model: keras.Model, communicator: Communicator, step: int, last: str) -> str:
    """Compare the weights that the ranks hold, by a checksum.

    Parameters
    ----------
    model, communicator
        Model and communicator of this rank; every rank calls this function.
    step : int
        Step after which the weights are compared.
    last : str
        What the message says about the last good checkpoint.

    Returns
    -------
    str
        The ranks whose weights are not those of rank 0, separated by commas.

    Raises
    ------
    Diverged
        On every rank, if the weights of any are not finite.
    """
    checksum, finite = 0, True
    for variable in model.weights:
        value = np.asarray(variable)
        checksum = zlib.crc32(np.ascontiguousarray(value).view(np.uint8).data, checksum)
        finite = finite and bool(np.isfinite(value).all())
    checksums, all_finite = zip(*communicator.gather((checksum, finite)))
    bad = [str(rank) for rank, finite in enumerate(all_finite) if not finite]
    if bad:
        raise Diverged(
            f"the weights are not finite after step {step} on rank {', '.join(bad)}: lower --lr, or lengthen --warmup; "
            f"{last}"
        )
    return ", ".join(str(rank) for rank, other in enumerate(checksums) if other != checksums[0])


def seed_noise(model: Any, seed: int, rank: int) -> None:
    """Give a rank its own noise (dropout, augmentation).

    A Keras SeedGenerator holds a seed and a count of draws. The counts are the same on all ranks, so that they can be
    saved once; the seeds are made from those of the run and from the rank.
    """
    generators = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for index, state in enumerate(generators):
        own = np.random.SeedSequence((seed, index, rank)).generate_state(1)[0]
        state.assign(np.array([own, state.numpy()[1]]))
