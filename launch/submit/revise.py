"""Checks and records the options that may change when a run is started again, such as time, account, QOS and partition;
the checks are those of a new run."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from launch.backends.scheduler import scheduler
from launch.errors import Refusal, SubmissionRefused
from launch.plan import packing, site
from launch.plan.plan import Plan
from launch.plan.shape import refuse_beyond_limits
from launch.plan.site import Site
from launch.plan.walltime import UNLIMITED, clock, hang_timeout, in_words, walltime
from launch.plan.within import allocation
from launch.record.failures import hang
from launch.record.files import read_json
from launch.record.rundir import RunDir
from launch.record.writing import as_text, publish

Runs = Sequence[tuple[RunDir, Plan]]


def _option(help: str, *flags: str, value: str) -> Any:
    help = f"{help}; by default as before"
    return field(default=None, metadata={"help": help, "flags": flags, "value": value})


@dataclass(frozen=True, kw_only=True)
class Anew:
    """The new options; those not given stay as they are."""

    time: str | None = _option("walltime of what is started again, as for a new run", "-t", value="TIME")
    account: str | None = _option("Slurm account to charge", "-A", value="NAME")
    qos: str | None = _option("Slurm quality of service", "-q", value="NAME")
    partition: str | None = _option("Slurm partition", "-p", value="NAME")
    hang_timeout: str | None = _option(
        "end an attempt as hung when no rank has made a step for this long, as 30m", value="TIME"
    )
    new_job: bool = False  # within a job, submit a new one; by default the runs become steps of this job


_OPTIONS = ("time", "account", "qos", "partition", "hang_timeout")
_FIELDS = ("backend", "time_s", "account", "qos", "partition", "max_jobs", "hang_s")


def revised(runs: Runs, anew: Anew) -> list[tuple[RunDir, Plan]]:
    """Return the runs with their new plans; nothing is written. Within a job, runs of its scheduler become steps of it.

    Raises
    ------
    Refusal
        If the site or its scheduler does not allow one of them, or a run on this machine was given an option of Slurm.
    """
    given = {name: value for name in _OPTIONS if (value := getattr(anew, name)) is not None}
    runs = _placed(runs, given, anew.new_job)
    if not given:
        return runs
    sites = {(plan.site, plan.site_file): _site(plan) for _, plan in runs}
    found = [(run, _revised(plan, given, sites[plan.site, plan.site_file])) for run, plan in runs]
    plans = [plan for _, plan in found]
    changed = [new for (_, old), new in zip(runs, plans) if new != old]
    packed = bool(changed) and plans[0].pack and plans[0].is_queued
    jobs = [packing.allocation(runs[0][0].path.parent.name, plans)] if packed else changed
    for job in {(job.nodes, job.time_s): job for job in jobs}.values():
        if job.backend != "allocation":
            refuse_beyond_limits(sites[job.site, job.site_file], job.partition, job.nodes, job.time_s, job.spare_nodes)
        scheduler(job.backend).check(job)
    return found


def _placed(runs: Runs, given: Mapping[str, str], new_job: bool) -> list[tuple[RunDir, Plan]]:
    """Return the runs, planned for where their scheduler runs them now: as steps of the allocation in which this
    process runs, or as new jobs."""
    first = runs[0][1]
    if first.backend == "local":  # as is then every run of the study or workflow
        return list(runs)
    found = allocation.Found() if new_job else allocation.here(first.scheduler, first.gpu_resource)
    if (within := found.allocation) is None:
        return [(run, dataclasses.replace(plan, backend=plan.scheduler)) for run, plan in runs]
    if wrong := next((name for name in given if name != "time"), None):
        raise Refusal(within.no_option(f"--{wrong}"))
    placed = [(run, within.place(plan)) for run, plan in runs]
    time_s = walltime(given["time"]) if "time" in given else None
    within.refuse([plan if time_s is None else dataclasses.replace(plan, time_s=time_s) for _, plan in placed])
    return placed


def _revised(plan: Plan, given: dict[str, str], here: Site) -> Plan:
    for name, value in given.items():
        if plan.backend == "local" and name not in ("time", "hang_timeout"):
            raise Refusal(f"--{name} is for Slurm, and {plan.name} runs on this machine: leave it out")
        if not value.isprintable() or not value:
            raise Refusal(f"--{name} {value!r}: give it as one word, without line breaks")
    if plan.backend == "allocation":  # no limit of a partition counts
        here = dataclasses.replace(here, partitions={})
    partition = given.get("partition", plan.partition)
    time_s = walltime(given["time"]) if "time" in given else plan.time_s
    refuse_beyond_limits(here, partition, plan.nodes, time_s, plan.spare_nodes)
    if plan.warn and time_s and plan.signal_s >= time_s:
        raise Refusal(
            f"--time {given.get('time')}: {plan.name} is warned {plan.signal_s} s before its end (--warn): give more "
            "time"
        )
    return dataclasses.replace(
        plan,
        time_s=time_s,
        account=given.get("account", plan.account),
        qos=given.get("qos", plan.qos),
        partition=partition,
        hang_s=hang_timeout(given["hang_timeout"]) if "hang_timeout" in given else plan.hang_s,
        max_jobs=here.partitions.get(partition or "", {}).get("max_jobs")
        if partition != plan.partition
        else plan.max_jobs,
    )


def refuse_short_timeout(runs: Runs, others: Sequence[RunDir]) -> None:
    """Refuse a --hang-timeout that is no longer than the steps that a run, or another of its shape, has recorded.

    Parameters
    ----------
    runs : sequence of (RunDir, Plan)
        The runs to start.
    others : sequence of RunDir
        Further runs of the same study, whatever their state.
    """
    watched = [(run, plan) for run, plan in runs if plan.hang_s]
    known = {run.path: found for run in others if (found := hang.usual_step(run))} if watched else {}
    for run, plan in watched:
        alike = [found for found in known.values() if found.nodes == plan.nodes]
        found = known.get(run.path) or max(alike, key=lambda each: each.seconds, default=None)
        if found and found.seconds >= plan.hang_s:
            raise Refusal(
                f"--hang-timeout of {in_words(plan.hang_s)} is not longer than a step of {found.run.path} "
                f"({found.seconds:.3g} s): give several times as much, as --hang-timeout {5 * found.seconds:.0f}s"
            )


def _site(plan: Plan) -> Site:
    """Return the site of a plan; an empty one if the plan has no site file, as in runs of older versions."""
    try:
        return site.load(plan.site_file or plan.site)
    except Refusal:
        if plan.site_file:
            raise
        print(f"the file of site {plan.site} is not known, so its limits are not checked", flush=True)
        return Site(name=plan.site, backend=plan.scheduler)


@contextlib.contextmanager
def recorded(before: Runs, after: Runs) -> Iterator[None]:
    """Write the changes into the records of the runs, and restore the records if the submission in the block is
    refused."""
    plans = {run.path: plan for run, plan in before}
    changes = [(run, _difference(plans[run.path], plan)) for run, plan in after]
    changes = [(run, change) for run, change in changes if change]
    for run, change in changes:
        _write(run, change)
    for line in _said(changes):
        print(line, flush=True)
    try:
        yield
    except SubmissionRefused as refusal:
        for run, change in changes if not refusal.may_be_queued else ():
            _write(run, {name: (new, old) for name, (old, new) in change.items()})
        raise


def _difference(before: Plan, after: Plan) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in _FIELDS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _write(run: RunDir, change: dict[str, tuple[Any, Any]]) -> None:
    table = read_json(run.run_json) | {name: new for name, (_, new) in change.items()}
    publish(run.run_json, as_text(table), mode=0o600)
    run.append_event("changed", **{name: list(pair) for name, pair in change.items()})


def _said(changes: Sequence[tuple[RunDir, dict[str, tuple[Any, Any]]]]) -> list[str]:
    counts: dict[str, int] = {}
    for _, change in changes:
        for name, (old, new) in change.items():
            if name != "max_jobs":
                option = "hang timeout" if name == "hang_s" else name.removesuffix("_s")
                line = f"{option:<14} {_text(option, new)} (was {_text(option, old)})"
                counts[line] = counts.get(line, 0) + 1
    return [line + (f", of {count} runs" if count > 1 else "") for line, count in counts.items()]


def _text(option: str, value: Any) -> str:
    if value is None or option == "hang timeout" and not value:
        return "not given"
    if option == "hang timeout":
        return in_words(value)
    return ("unlimited" if value == UNLIMITED else clock(value)) if option == "time" else str(value)
