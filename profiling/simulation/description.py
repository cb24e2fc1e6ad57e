"""A file that describes the step of a workload, so that one can be simulated that was never run here. TOML:

name = "DeepLabv3+, FP32"
batch = 1                       # examples per rank and step
seconds = 1.0                   # from the begin of a step until all gradients are ready, on one rank alone; the mean
forward = 0.333                 # share of that before the backward pass; a third where it is not given
update = 0.0                    # seconds after the gradients have been reduced
site = "summit"                 # whose links; --site is another one
ranks_per_node = 6
gradients = [[9408, 0.02], ...] # bytes of each, and its part of the backward pass, in the order of the FORWARD pass
notes = ["..."]                 # printed with the result
[jitter]
rank_deviation = 0.015          # of the logarithm of the time of a rank, over the ranks
step_deviation = 0.0            # the same, over the steps of a rank
[transport]
overlap = true                  # and fusion_mib, cycle_ms, allreduce: as the options of python -m profiling simulate
"""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from launch.errors import Refusal, nearest
from profiling.simulation import step_model
from profiling.simulation.allreduce import ALGORITHMS
from profiling.simulation.jitter import Jitter
from profiling.simulation.step_model import FORWARD, StepModel, Transport

PUBLISHED = Path(__file__).with_name("published")
"""Workloads of published studies, and in `SITES` the machines that they ran on."""
SITES = PUBLISHED / "sites"

_KEYS: dict[str, type] = {
    **dict.fromkeys(("name", "unit", "site"), str),
    **dict.fromkeys(("batch", "seconds", "forward", "update"), float),
    **dict.fromkeys(("gradients", "notes"), list),
    **dict.fromkeys(("jitter", "transport"), dict),
    "ranks_per_node": int,
}
_JITTER = {"rank_deviation": float, "step_deviation": float}
_TRANSPORT = {"overlap": bool, "fusion_mib": float, "cycle_ms": float, "allreduce": str}
_NAMES = {
    str: "a text",
    float: "a number of 0 or more",
    int: "a whole number of 1 or more",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def read(path: Path) -> StepModel:
    """A description file, or one of those in profiling/simulation/published by its name.

    Raises
    ------
    Refusal
        No such file, an unknown key, a value of another kind.
    """
    if not path.is_file() and (PUBLISHED / f"{path}.toml").is_file():
        path = PUBLISHED / f"{path}.toml"
    if not path.is_file():
        published = ", ".join(sorted(each.stem for each in PUBLISHED.glob("*.toml")))
        raise Refusal(
            f"{path} is not a run, study or description: give a folder that python -m launch has made, a .toml file, "
            f"or one of {published}"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path} is not TOML ({error}): fix it") from None
    except OSError as error:
        raise Refusal(f"cannot read {path} ({error.strerror}): give another file") from None
    _check(path, "", table, _KEYS)
    jitter, transport = table.get("jitter", {}), table.get("transport", {})
    _check(path, " of jitter", jitter, _JITTER)
    _check(path, " of transport", transport, _TRANSPORT)
    for key in ("batch", "seconds", "gradients"):
        if not table.get(key):
            raise Refusal(f"{path} has no {key}: give batch, seconds and gradients, all above 0")
    if transport.get("allreduce", "auto") not in ALGORITHMS:
        name = transport["allreduce"]
        raise Refusal(f"{path}: allreduce = {name!r} of transport: {nearest(name, ALGORITHMS)}")
    if (forward := table.get("forward", FORWARD)) > 1:
        raise Refusal(f"{path}: forward = {forward:g}: give a number from 0 to 1")
    sizes, shares = _gradients(path, table["gradients"])
    return step_model.model(
        table.get("name", path.stem),
        table["batch"],
        sizes,
        table["seconds"],
        forward,
        shares / shares.sum(),
        update=table.get("update", 0.0),
        jitter=Jitter(**jitter),
        transport=Transport(**transport),
        unit=table.get("unit", "examples/s"),
        site=table.get("site"),
        ranks_per_node=table.get("ranks_per_node"),
        notes=(*map(str, table.get("notes", [])), f"described by {path.name}"),
    )


def _gradients(path: Path, rows: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of each gradient, and its share of the backward pass."""
    if not all(isinstance(row, list) and len(row) == 2 and all(_is(value, float) for value in row) for row in rows):
        raise Refusal(f"{path}: gradients = [[bytes, share of the backward pass], ...], all 0 or more")
    sizes, shares = np.array(rows, float).T
    if not sizes.sum() > 0 or not shares.sum() > 0:
        raise Refusal(f"{path}: gradients have no bytes or no share: give numbers above 0")
    return sizes, shares


def _check(path: Path, where: str, table: dict[str, Any], kinds: dict[str, type]) -> None:
    for key, value in table.items():
        if key not in kinds:
            raise Refusal(f"{path}: unknown key {key!r}{where}: {nearest(key, kinds)}")
        if not _is(value, kinds[key]):
            raise Refusal(f"{path}: {key} = {value!r}{where}: give {_NAMES[kinds[key]]}")


def _is(value: Any, kind: type) -> bool:
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool) and (kind is int) <= value < 1e300
    return isinstance(value, kind)
