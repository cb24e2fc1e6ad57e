"""Plans for tests: what `launch.plan.plan.resolve` makes of a request, on a machine and a site that are given."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from launch.plan import site
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.resolve import resolve
from launch.plan.shape import Machine
from launch.plan.sweep import from_words
from launch.plan.target import workload
from launch.plan.target.workload import Target
from launch.record.rundir import RunDir
from launch.record.writing import publish_json
from launch.submit.study import folders, planning

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
    """The plan of a request, whose nodes may be a number; fields of it replaced."""
    request = request or Request()
    nodes = request.nodes if isinstance(request.nodes, int) else request.nodes[0]
    return dataclasses.replace(resolve(request, nodes, here, target, machine, NOON), **replaced)


def run_of(planned: Plan, path: Path) -> RunDir:
    """A run directory as the launcher leaves it before the first attempt."""
    run = RunDir(path)
    run.create()
    publish_json(run.run_json, planned.to_json())
    return run


# What a training leaves behind that is no faster on more ranks.
_RESULT = """
import os, sys
from launch.record.writing import publish_json
from launch.record.rundir import RunDir
if os.environ["RANK"] == "0":
    reached = {"status": "done", "throughput_examples_per_s": 100.0, "ranks": int(os.environ["WORLD_SIZE"])}
    publish_json(RunDir(os.environ["LAUNCH_RUN"]).result_json, reached)
"""


def slowing_study(folder: Path, here: site.Site, **asked: Any) -> Path:
    """A study on 1, 2 and 4 nodes, to be made by ``resume``, whose efficiency on 2 is 0.5 and cuts 4 off; no training."""
    program = folder / "program.py"
    program.write_text(_RESULT)
    request = Request(nodes=(1, 2, 4), stop_below=0.75, time="5", backend=here.backend, **asked)
    points = planning.points(from_words((), request.nodes), 1)
    made = planning.plans(request, workload.find("tiny", []), points, here, EIGHT_CORES, NOON)
    plans = [dataclasses.replace(each, entry=(str(program),)) for each in made]
    (folder / "s").mkdir()
    folders.write(folder / "s", request, points, plans)
    return folder / "s"
