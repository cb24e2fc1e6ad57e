"""Site files: from each, a job of every kind is planned, and shellcheck finds nothing in its script."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from plans import NOON, SCRIPT

from launch.errors import Refusal
from launch.plan import site
from launch.plan.request import Request
from launch.plan.shape import Machine
from launch.plan.sweep import from_words
from launch.plan.target import workload
from launch.submit import order
from launch.submit.order import Order
from launch.submit.workflow import workflow

LOGIN = Machine(cores=8, gpus=0)
TRAINING = workload.find("tiny", [])
KINDS: dict[str, dict[str, object]] = {
    "single": {"nodes": (2,)},
    "requeued": {"nodes": (2,), "max_attempts": 3},
    "array": {"nodes": (1,), "repeats": 4, "throttle": 2},
    "pack": {"nodes": (1, 2), "pack": True},
    "spare": {"nodes": (2,), "spare_nodes": 1, "max_attempts": 2},
}
LACKING = {"slurm": set(), "pbs": {"spare"}, "flux": {"spare", "array"}}  # arrays: for their throttle
SUPERCOMPUTERS = [here for here in map(site.load, site.names()) if here.backend != "local"]


def ordered(runs: Path, here: site.Site, stage: str = "", after: tuple[str, ...] = (), **asked: object) -> Order:
    """What a user asks for there, in the smallest jobs that the partition takes; programs and workloads differ in the
    warning before the time limit."""
    least = here.partitions.get(here.partition or "", {}).get("min_nodes", 1)
    asked["nodes"] = tuple(least * nodes for nodes in asked["nodes"])  # type: ignore[attr-defined]
    request = Request(runs=runs, name="r", site=here.name, time="5", account="ab12", **asked)  # type: ignore[arg-type]
    target = SCRIPT if "spare_nodes" in asked else TRAINING
    return Order(asked=request, target=target, axes=from_words((), request.nodes), stage=stage, after=after)


def texts(runs: Path, here: site.Site) -> dict[str, str]:
    """What a dry run of each kind prints for a site, after the plan."""
    made = {}
    for kind, asked in KINDS.items():
        try:
            made[kind] = order.plan(ordered(runs, here, **asked), here, LOGIN, NOON)
        except Refusal:  # not every scheduler can do all of them
            assert kind in LACKING[here.backend], here.name
    assert not made.keys() & LACKING[here.backend]
    if here.container:
        image = "registry/image:1" if here.container in ("podman-hpc", "pyxis", "edf") else "docker://image"
        made["container"] = order.plan(ordered(runs, here, nodes=(2,), container=image), here, LOGIN, NOON)
    stages = [ordered(runs, here, "data", nodes=(1,)), ordered(runs, here, "train", ("data",), nodes=(2,))]
    chain = workflow.plan(Request(runs=runs, name="chain"), stages, here, LOGIN, NOON)
    return {kind: planned.preview() for kind, planned in made.items()} | {"workflow": chain.preview()}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    return {here.name: texts(tmp_path_factory.mktemp("runs"), here) for here in SUPERCOMPUTERS}


def test_each_kind_of_job_is_planned_for_each_site_with_what_its_file_says(printed: dict[str, dict[str, str]]):
    for here in SUPERCOMPUTERS:
        for kind, text in printed[here.name].items():
            said = [here.partition] if here.partition else []
            said += [f"module load {' '.join(here.modules)}"] if here.modules else []
            said += [*here.setup, *(f"export {name}=" for name in here.env), "ab12"]
            lacking = [words for words in said if words not in text]
            assert not lacking, f"{here.name}, {kind}: {lacking}"


def test_slurm_is_asked_for_what_the_file_says(printed: dict[str, dict[str, str]]):
    for here in (here for here in SUPERCOMPUTERS if here.backend == "slurm"):
        for kind, text in printed[here.name].items():
            asked = {"partition": here.partition, "qos": here.qos, "constraint": here.constraint, "account": "ab12"}
            said = [f"#SBATCH --{name}={value}" for name, value in asked.items() if value]
            said += [*here.srun_args, *(f"#SBATCH --{name}" for name in here.directives)]
            lacking = [words for words in said if words not in text]
            assert not lacking, f"{here.name}, {kind}: {lacking}"
            gpus = re.search(r"^#SBATCH --(gpus-per-node|gpus-per-task|gres)=", text, re.MULTILINE)
            assert (gpus[1] if gpus else "none") == (here.gpu_request if here.gpus_per_node else "none")
        assert "#SBATCH --array=0-3%2" in printed[here.name]["array"]
        assert "--dependency=afterok:<job of data>" in printed[here.name]["workflow"]


def test_shellcheck_finds_nothing_in_them(printed: dict[str, dict[str, str]], tmp_path: Path):
    # Scripts that differ in numbers and comments only are alike to it.
    distinct: dict[str, str] = {}
    for kinds in printed.values():
        for text in kinds.values():
            for script in re.split(r"(?m)^(?=#!/bin/bash)", text)[1:]:
                script = re.sub(
                    r"(?m)^((env .* )?sbatch --chdir=|qsub -f|flux batch --cwd=).*", "", script
                )  # the command for the next one
                distinct.setdefault(re.sub(r"(?m)^#.*\n|\d+", "", script).strip(), script)
    files = [f"{i}.sh" for i in range(len(distinct))]
    for name, script in zip(files, distinct.values()):
        (tmp_path / name).write_text(script)
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), *files], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(distinct) > len(KINDS)
