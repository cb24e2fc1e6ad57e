"""Plans for tests: what `launch.plan.resolve` makes of a request, on a machine and a site that are given."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from launch import site
from launch.plan import Plan, resolve
from launch.request import Request
from launch.rundir import RunDir, publish_json
from launch.shape import Machine
from launch.workload import Target

NOON = datetime.datetime(2026, 3, 1, 12, 0, 0)
LAPTOP = site.from_table({"name": "laptop", "backend": "local"}, "laptop")
CLUSTER = site.from_table({"name": "cluster", "backend": "slurm"}, "cluster")
EIGHT_CORES = Machine(cores=8, gpus=0)
SCRIPT = Target("script", "/home/u/simulate.py", ("--cells", "64"))


def plan(
    request: Request | None = None,
    here: site.Site = CLUSTER,
    target: Target = SCRIPT,
    machine: Machine = EIGHT_CORES,
    **replaced: Any,
) -> Plan:
    """The plan of a request; fields of it replaced."""
    return dataclasses.replace(resolve(request or Request(), here, target, machine, NOON), **replaced)


def run_of(planned: Plan, path: Path) -> RunDir:
    """A run directory as the launcher leaves it before the first attempt."""
    run = RunDir(path)
    run.create()
    publish_json(run.run_json, planned.to_json())
    return run
