"""What finished runs asked for and what they used of it: from their plans, events and readings."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from launch import own_command
from launch.record.contents import Event, PlanRecord
from launch.record.failures import diagnose
from launch.record.files import Unreadable
from launch.record.performance.pace import pace
from launch.record.rundir import RunDir

READER = "profiling.telemetry.used"  # started by name, as the sampler is

LEAST_S = 60.0
"""Runs that took less time do not show what a longer run needs."""


class Use(NamedTuple):
    """What one run used; None for what is not known."""

    run: RunDir
    plan: PlanRecord
    done: bool
    seconds: tuple[float, ...]  # time of each attempt that has ended
    at_limit: int  # how many of them the time limit ended
    needs_s: float | None  # time for all steps of a run that the limit ended in the middle
    out_of_memory: bool
    asked_memory: int | None  # bytes per node, as Slurm understood it
    whole_node: bool  # asked for with --exclusive
    readings: Mapping[str, Any] | None


def of(runs: Sequence[RunDir]) -> list[Use]:
    """Return what is known about the runs that have a plan and have ended."""
    found = []
    for run in runs:
        with contextlib.suppress(Unreadable):
            if use := _of(run):
                found.append(use)
    read = _readings([use.run for use in found if use.done and max(use.seconds) >= LEAST_S])
    return [use._replace(readings=read.get(str(use.run.path))) for use in found]


def _of(run: RunDir) -> Use | None:
    plan, events = run.record(), run.events()
    begun = {event.get("attempt"): event["time"] for event in events if event["event"] == "started"}
    ended = [event for event in events if event["event"] == "ended" and event.get("attempt") in begun]
    if not ended or events[-1]["event"] == "started":
        return None
    seconds = tuple(event["time"] - begun[event.get("attempt")] for event in ended)
    at_limit = sum(map(_is_at_limit, ended))
    done = run.result() is not None
    needs = None
    if not done and _is_at_limit(ended[-1]):
        known = pace(run)
        if known.step and known.steps:
            needs = sum(seconds) * known.steps / known.step
    return Use(
        run,
        plan,
        done,
        seconds,
        at_limit,
        needs,
        not done and diagnose.ran_out_of_memory(run),
        _asked_memory(run),
        _has_option(plan, "exclusive"),
        None,
    )


def _is_at_limit(event: Event) -> bool:
    return event.get("outcome") == "timeout" or event.get("reason") == "time limit"


def asked_for_memory(plan: PlanRecord) -> bool:
    """Return whether the user or the site file has asked for memory."""
    of_slurm = any(name.startswith("SBATCH_MEM") for name in plan.get("inherited") or ())
    return of_slurm or any(_has_option(plan, name) for name in ("mem", "mem-per-cpu", "mem-per-gpu"))


def _has_option(plan: PlanRecord, name: str) -> bool:
    words = (word.partition("=")[0] for word in plan.get("sbatch_args") or ())
    return name in (plan.get("directives") or ()) or f"--{name}" in words


def _asked_memory(run: RunDir) -> int | None:
    """Return the memory in bytes that the job had on each node, as Slurm told the job (sbatch(1), output environment
    variables)."""
    around: Mapping[str, str] = {}
    with contextlib.suppress(Unreadable):
        around = run.surroundings().get("environment") or {}
    a_node = _mebibytes(around.get("SLURM_MEM_PER_NODE"))
    if a_node is not None:
        return a_node * 2**20 or None  # 0 is all that the node has
    a_core, cores = _mebibytes(around.get("SLURM_MEM_PER_CPU")), _mebibytes(around.get("SLURM_CPUS_ON_NODE"))
    return a_core * cores * 2**20 if a_core and cores else None


def _mebibytes(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,12}", text) else None


def _readings(runs: Sequence[RunDir]) -> dict[str, Any]:
    """Return what the readings show, by the path of the run; readings that cannot be read are left out."""
    if not runs:
        return {}
    asked = own_command(sys.executable, READER, *(str(run.path) for run in runs))
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return json.loads(said.stdout) if said.returncode == 0 else {}
