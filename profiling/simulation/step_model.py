"""The model of a step: its gradients, when each is ready, how long the rest takes, and how that varies.

It comes from a run: its records, its training.json and, where it was traced, its longest operations; or from a file
(`profiling.simulation.description`).
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from launch.errors import Refusal
from launch.plan.typed import NotNegative
from launch.record.rundir import RunDir
from profiling.simulation import jitter
from profiling.simulation.allreduce import Algorithm
from profiling.simulation.jitter import Jitter
from profiling.study import steps
from profiling.traces import store
from profiling.traces.parts import Operation

FORWARD = 1 / 3
"""Share of the forward pass if there is no trace: the backward pass has two products for each of its products."""


@dataclass(frozen=True)
class Transport:
    """How gradients travel."""

    overlap: bool = False  # send in the backward pass, as Horovod's own optimizer does; else after it, as our loop
    fusion_mib: NotNegative = 128  # largest message: HOROVOD_FUSION_THRESHOLD (of 0.28; older ones had 64)
    cycle_ms: NotNegative = 1  # between looks for ready gradients: HOROVOD_CYCLE_TIME (of 0.28; older ones had 5)
    allreduce: Algorithm = "auto"


@dataclass(frozen=True)
class StepModel:
    """A step of one rank."""

    name: str
    batch: float  # examples per rank
    sizes: np.ndarray  # (gradients,) bytes, in the order in which they become ready
    ready: np.ndarray  # (gradients,) seconds since the step began, rising
    compute: float  # mean seconds from the start of a step until the last gradient is ready
    update: float = 0.0  # seconds after the gradients have been reduced
    jitter: Jitter = field(default_factory=Jitter)
    transport: Transport = field(default_factory=Transport)
    unit: str = "examples/s"
    site: str | None = None  # site whose links it uses, if the description names one
    ranks_per_node: int | None = None
    notes: tuple[str, ...] = ()  # where it comes from, and what had to be assumed


def of_run(run: RunDir) -> StepModel:
    """Build the model of a step from a run.

    Raises
    ------
    Refusal
        If the run is not finished, cannot be timed, or was made before gradients were recorded.
    """
    result, training = run.result(), run.training()
    if training is None and run.record().get("kind") != "workload":
        raise Refusal(
            f"{run.path} is not the run of a workload, so its layers are not known: give one, or a model such as "
            "resnet50-dlperf"
        )
    if result is None or training is None:
        raise Refusal(f"{run.path} has not finished as a training: give a run with result.json and training.json")
    ranks, gradients = result.get("ranks", 1), training.get("gradients")
    if not gradients:
        raise Refusal(f"{run.path} does not tell its gradients (training.json): rerun it with this version")
    try:
        timed = steps.read(run, ranks)
    except steps.Unusable as why:
        raise Refusal(f"{run.path} cannot be timed ({why}): give another run") from None
    if timed.own_seconds is None:
        raise Refusal(f"{run.path} does not record when gradients were ready (own_seconds): give a run of a workload")
    names = [each["name"] for each in gradients]
    sizes = np.array([each["bytes"] for each in gradients], float)
    compute = float(timed.own_seconds.mean())
    traces, _ = store.read(run)
    split = _of_trace(names, sizes, traces[0].operations) if traces else None
    forward, shares = split or (FORWARD, sizes / sizes.sum())
    by = "the operations of its trace" if split else "the bytes of the gradients (a trace is more exact)"
    notes = [f"{run.path.name}: {forward:.0%} of the computing is the forward pass; the backward pass is split by {by}"]
    update = 0.0
    if ranks == 1:
        update = float((timed.seconds - timed.own_seconds).mean())
    else:
        notes.append(
            f"of {ranks} ranks: the update of the weights cannot be told from waiting, and is left out; a "
            "run of one rank tells it"
        )
    return model(
        run.record()["workload"],
        timed.examples / ranks,
        sizes,
        compute,
        forward,
        shares,
        update=update,
        jitter=jitter.measure(timed.own_seconds),
        notes=tuple(notes),
    )


def _of_trace(names: list[str], sizes: np.ndarray, operations: list[Operation]) -> tuple[float, np.ndarray] | None:
    """Return the shares of the forward pass, and of each gradient in the backward pass, by a trace's operations.

    An operation of the backward pass is named "gradient_tape/<network>/<layer>/...", with a "_1" after each if the
    network was called before. Its time is assigned to the gradients of that layer, by their bytes. Layers that are not
    among the longest operations share what remains. None if no operation names its layer.
    """
    layers = [name.rpartition("/")[0].rpartition("/")[2] for name in names]
    backward = [(op.name.split("/")[1:], op.seconds) for op in operations if op.name.startswith("gradient_tape/")]
    named, again = (  # for each operation, the gradients of its layer
        [[place for place, layer in enumerate(layers) if layer + suffix in parts] for parts, _ in backward]
        for suffix in ("", "_1")
    )
    gradients = max(again, named, key=lambda of_operations: sum(map(bool, of_operations)))
    networks = {parts[0] for parts, _ in backward}
    total = sum(spent for _, spent in backward)
    forward = sum(op.seconds for op in operations if op.name.split("/")[0] in networks)
    seconds = np.zeros(len(names))
    for places, (_, spent) in zip(gradients, backward):
        if places:
            seconds[places] += spent * sizes[places] / sizes[places].sum()
    if not seconds.any() or not forward:
        return None
    rest = seconds == 0
    if rest.any():
        seconds[rest] = (total - seconds.sum()) * sizes[rest] / sizes[rest].sum()
    return forward / (forward + total), seconds / seconds.sum()


def sending(model: StepModel, **changes: Any) -> StepModel:
    """Return the same step with its gradients sent in another way; arguments that are None change nothing."""
    given = {key: value for key, value in changes.items() if value is not None}
    return dataclasses.replace(model, transport=dataclasses.replace(model.transport, **given))


def model(
    name: str, batch: float, sizes: np.ndarray, compute: float, forward: float, shares: np.ndarray, **others: Any
) -> StepModel:
    """Build the model of a step from gradients in the order of the forward pass; the backward pass goes the other way.

    Parameters
    ----------
    name, batch, sizes, compute, **others
        As in `StepModel`.
    forward : float
        Share of ``compute`` before the backward pass.
    shares : ndarray, shape (gradients,)
        Share of the backward pass that each gradient takes.
    """
    ready = compute * (forward + (1 - forward) * np.cumsum(shares[::-1]) / shares.sum())
    return StepModel(name, batch, sizes[::-1].copy(), ready, compute, **others)
