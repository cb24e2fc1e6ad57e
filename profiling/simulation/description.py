"""A TOML file that describes the step of a workload, so that workloads can be simulated that were never run here:

name = "DeepLabv3+, FP32"
batch = 1                       # examples per rank and step
seconds = 1.0                   # mean, from the beginning of a step until all gradients are ready, on one rank alone
forward = 0.333                 # share of that before the backward pass; a third if not given
update = 0.0                    # seconds after the gradients have been reduced
site = "summit"                 # site whose links to use; --site overrides it
ranks_per_node = 6
gradients = [[9408, 0.02], ...] # bytes of each, and its part of the backward pass, in the order of the FORWARD pass
notes = ["..."]                 # printed with the result
[jitter]
rank_deviation = 0.015          # deviation of the logarithm of the time of a rank, over the ranks
step_deviation = 0.0            # the same, over the steps of a rank
[transport]
overlap = true                  # also fusion_mib, cycle_ms, allreduce: see the options of python -m profiling simulate
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from launch import toml_file
from launch.errors import Refusal
from launch.plan import typed
from launch.plan.typed import Bounds, Count, NotNegative
from profiling.simulation import step_model
from profiling.simulation.jitter import Jitter
from profiling.simulation.step_model import FORWARD, StepModel, Transport

PUBLISHED = Path(__file__).with_name("published")
"""Folder of the workloads of published studies; `SITES` has the machines that they ran on."""
SITES = PUBLISHED / "sites"

Positive = Annotated[float, Bounds(above=0)]


@dataclass(frozen=True, kw_only=True)
class _Description:
    """The keys of a file."""

    name: str = ""
    unit: str = "examples/s"
    batch: Positive
    seconds: Positive
    forward: Annotated[float, Bounds(0, 1)] = FORWARD
    update: NotNegative = 0.0
    site: str | None = None
    ranks_per_node: Count | None = None
    gradients: list[list[NotNegative]]
    notes: tuple[str, ...] = ()
    jitter: dict[str, Any] = field(default_factory=dict)
    transport: dict[str, Any] = field(default_factory=dict)


def is_published(name: str) -> bool:
    """Return whether a description of this name comes with the toolkit."""
    return (PUBLISHED / f"{name}.toml").is_file()


def read(path: Path) -> StepModel:
    """Read a description file, or one in profiling/simulation/published that is given by its name.

    Raises
    ------
    Refusal
        If there is no such file, a key is unknown, or a value has the wrong type.
    """
    if not path.is_file() and is_published(str(path)):
        path = PUBLISHED / f"{path}.toml"
    if not path.is_file():
        published = ", ".join(sorted(each.stem for each in PUBLISHED.glob("*.toml")))
        raise Refusal(
            f"{path} is not a run, study or description: give the folder of a run or study, a .toml file, "
            f"or one of {published}"
        )
    described = typed.build(_Description, toml_file.read(path), str(path))
    jitter = typed.build(Jitter, described.jitter, f"{path}, jitter")
    transport = typed.build(Transport, described.transport, f"{path}, transport")
    if not all(len(row) == 2 for row in described.gradients):
        raise Refusal(f"{path}: gradients = [[bytes, share of the backward pass], ...]: give two numbers for each")
    sizes, shares = np.array(described.gradients, float).reshape(-1, 2).T
    if not sizes.sum() > 0 or not shares.sum() > 0:
        raise Refusal(f"{path}: gradients have no bytes or no share: give numbers above 0")
    return step_model.model(
        described.name or path.stem,
        described.batch,
        sizes,
        described.seconds,
        described.forward,
        shares / shares.sum(),
        update=described.update,
        jitter=jitter,
        transport=transport,
        unit=described.unit,
        site=described.site,
        ranks_per_node=described.ranks_per_node,
        notes=(*described.notes, f"described by {path.name}"),
    )
