"""A file that describes the step of a workload, so that one can be simulated that was never run here. TOML:

name = "DeepLabv3+, FP32"
batch = 1                       # examples of a rank in a step
seconds = 1.0                   # from the begin of a step until all gradients are ready, on one rank alone; the mean
forward = 0.333                 # share of that before the backward pass; a third where it is not given
update = 0.0                    # seconds after the gradients have met
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
import typing
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

_KEYS = ("name", "unit", "batch", "seconds", "forward", "update", "site", "ranks_per_node", "gradients", "notes", "jitter", "transport")  # fmt: skip


def read(path: Path) -> StepModel:
    """A description file, or one of those in profiling/published by its name.

    Raises
    ------
    Refusal
        No such file, an unknown key, a value that is none.
    """
    if not path.is_file() and (PUBLISHED / f"{path}.toml").is_file():
        path = PUBLISHED / f"{path}.toml"
    if not path.is_file():
        raise Refusal(
            f"{path} is no run, study or description: give a folder that python -m launch has made, a .toml file, or one of "
            f"{', '.join(sorted(each.stem for each in PUBLISHED.glob('*.toml')))}"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} is not TOML ({error}): mend it") from None
    _known(path, "", table, _KEYS)
    for key in ("batch", "seconds", "gradients"):
        if key not in table:
            raise Refusal(f"{path} has no {key}: give batch, seconds and gradients")
    rows = table["gradients"]
    if not rows or not all(isinstance(row, list) and len(row) == 2 and min(row) >= 0 for row in rows):
        raise Refusal(f"{path}: gradients = [[bytes, share of the backward pass], ...], all 0 or more")
    sizes, shares = np.array(rows, float).T
    if not sizes.sum() > 0 or not shares.sum() > 0:
        raise Refusal(f"{path}: gradients have no bytes or no share: give numbers above 0")
    spread = {"rank_deviation": 0.0, "step_deviation": 0.0} | table.get("jitter", {})
    _known(path, " of jitter", spread, ("rank_deviation", "step_deviation"))
    how = table.get("transport", {})
    _known(path, " of transport", how, tuple(typing.get_type_hints(Transport)))
    for key in ("fusion_mib", "cycle_ms"):
        _number(path, {key: 0.0} | how, key)
    if how.get("allreduce", "auto") not in ALGORITHMS:
        raise Refusal(f"{path}: transport.allreduce = {how['allreduce']!r}: {nearest(how['allreduce'], ALGORITHMS)}")
    if (forward := _number(path, table, "forward", FORWARD)) > 1:
        raise Refusal(f"{path}: forward = {forward:g}: give a number from 0 to 1")
    return step_model.model(
        table.get("name", path.stem),
        _number(path, table, "batch"),
        sizes,
        _number(path, table, "seconds"),
        forward,
        shares / shares.sum(),
        update=_number(path, table, "update", 0.0),
        jitter=Jitter(**{key: _number(path, spread, key) for key in spread}),
        transport=Transport(**how),
        unit=table.get("unit", "examples/s"),
        site=table.get("site"),
        ranks_per_node=table.get("ranks_per_node"),
        notes=(*table.get("notes", []), f"described by {path.name}"),
    )


def _known(path: Path, of: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise Refusal(f"{path}: unknown key {key!r}{of}: {nearest(key, known)}")


def _number(path: Path, table: dict[str, Any], key: str, default: float | None = None) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise Refusal(f"{path}: {key} = {value!r}: give a number of 0 or more")
    if value == 0 and key in ("batch", "seconds"):
        raise Refusal(f"{path}: {key} = {value!r}: give a number above 0")
    return float(value)
