"""A data-parallel step, simulated: gradients become ready from back to front, are fused into messages, and are reduced.

    time          forward      |  backward: gradients become ready        | wait | update
    messages                      [ 1 ]      [ 2 ][   3   ]        [ 4 ]

All ranks make the step together, so its times are those of the slowest rank in this step. Every ``cycle_ms`` the
ranks agree on the gradients that all have ready, and these are reduced in messages of at most ``fusion_mib``, one after
the other. Messages are handed to a stream of the GPU and the cycles continue, as in Horovod with NCCL. What is fused
therefore does not depend on how fast the network is. Without overlap all gradients are sent after the backward pass.
"""

import math
from dataclasses import dataclass

import numpy as np

from profiling.simulation import allreduce
from profiling.simulation.allreduce import Cluster
from profiling.simulation.step_model import StepModel, Transport

_MIB = 2**20


@dataclass(frozen=True)
class Simulated:
    """What a step would take; simulated, not measured. Seconds are means over the simulated steps."""

    nodes: int
    ranks: int
    step: float
    step_low: float  # 5th percentile over the steps
    step_high: float  # 95th percentile
    slowest: float  # part of the step for which the slowest rank computes longer than the mean one
    communication: float  # part of the step in which nothing is computed
    messages: int  # per step, rounded
    throughput: float  # examples/s, all ranks
    efficiency: float  # throughput over that of equally many ranks that are as fast as the mean one and never wait


def simulate(model: StepModel, cluster: Cluster, jitter: float = 1.0, seed: int = 0) -> Simulated:
    """Simulate steps of the ranks of a cluster; ``jitter`` multiplies the spread of the model's ranks and steps."""
    factors = np.maximum(1 + jitter * (model.jitter.slowest(cluster.ranks, seed) - 1), 1e-3)
    if cluster.ranks == 1:
        factors = np.ones_like(factors)  # no rank waits for another, and the mean is known
    distinct, which = np.unique(factors, return_inverse=True)
    ends, counts = np.array([_communicated(model, cluster, float(factor)) for factor in distinct]).T[:, which]
    steps = ends + model.update
    alone = model.compute + model.update
    mean = float(steps.mean())
    computed = float(factors.mean()) * model.compute
    return Simulated(
        nodes=cluster.nodes,
        ranks=cluster.ranks,
        step=mean,
        step_low=float(np.quantile(steps, 0.05)),
        step_high=float(np.quantile(steps, 0.95)),
        slowest=computed - model.compute,
        communication=max(0.0, float(ends.mean()) - computed),
        messages=round(float(counts.mean())),
        throughput=model.batch * cluster.ranks / mean,
        efficiency=alone / mean,
    )


def _communicated(model: StepModel, cluster: Cluster, factor: float) -> tuple[float, int]:
    """Return when a step's last message is complete, and how many there were; computing takes ``factor`` as long."""
    computed = model.compute * factor
    if cluster.ranks == 1:
        return computed, 0
    agreed = allreduce.negotiation(cluster)
    ready = model.ready * factor if model.transport.overlap else np.full(len(model.ready), computed)
    messages = fuse(model.sizes, ready, model.transport)
    free = 0.0  # time from which the stream is idle
    for at, size in messages:
        free = max(free, at + agreed) + allreduce.seconds(size, cluster, model.transport.allreduce)
    return max(free, computed), len(messages)


def fuse(sizes: np.ndarray, ready: np.ndarray, transport: Transport) -> list[tuple[float, float]]:
    """Return the messages for gradients of given sizes (bytes) that become ready at given times (rising).

    Each message (time, bytes) is sent at the end of a cycle. A gradient larger than the buffer travels alone.
    """
    cycle, room = transport.cycle_ms / 1e3, transport.fusion_mib * _MIB
    messages: list[tuple[float, float]] = []
    for size, at in zip(sizes.tolist(), ready.tolist(), strict=True):
        # Rounding must not delay a gradient that is ready at the end of a cycle by a whole cycle.
        tick = math.ceil(at / cycle - 1e-9) * cycle if cycle else at
        if messages and messages[-1][0] == tick and messages[-1][1] + size <= room:
            messages[-1] = tick, messages[-1][1] + size
        else:
            messages.append((tick, size))
    return messages
