"""The workload tiny, of which a rank hangs: where and when its options say."""

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import tiny

from launch.node.rank import Rank
from workloads.api import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(tiny.Config):
    hang: Literal["start", "load", "evaluate", "checkpoint", "finish"] = "load"
    rank: int = 1  # that hangs
    after: int = 20  # batches


def build(config: Config, rank: Rank) -> Workload:
    workload = tiny.build(config, rank)
    hangs = rank.rank == config.rank

    def stuck(*_: Any) -> Any:
        time.sleep(1000)

    batches = 0

    def load(index: Any) -> Any:
        nonlocal batches
        batches += 1
        return stuck() if batches > config.after and hangs else workload.train.load(index)

    if not hangs:
        return workload
    if config.hang == "start":
        stuck()
    if config.hang == "checkpoint":
        from workloads.training import checkpoints

        checkpoints.save = stuck
    return {
        "load": lambda: replace(workload, train=replace(workload.train, load=load)),
        "evaluate": lambda: replace(workload, validation=replace(workload.validation, load=stuck)),
        "finish": lambda: replace(workload, finish=stuck),
    }.get(config.hang, lambda: workload)()
