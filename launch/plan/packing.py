"""A study in one allocation, or one that stops where it becomes inefficient: its requirements, and the order of its
runs."""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from launch.errors import Refusal
from launch.plan.plan import Plan
from launch.plan.request import Request
from launch.plan.walltime import minutes

Kept = TypeVar("Kept")


def allocation(name: str, plans: Sequence[Plan]) -> Plan:
    """Return the plan of the single job that holds the runs of a study: as large as the largest run, as long as all
    together.

    Parameters
    ----------
    name : str
        Name of the study.
    plans : sequence of Plan
        Plans of its runs, which follow one another: anything that runs beside a measurement disturbs it.

    Raises
    ------
    Refusal
        If no walltime is given for a run.
    """
    times = [plan.time_s for plan in plans if plan.time_s]
    if len(times) < len(plans):
        raise Refusal("--pack needs the walltime of a run, to know that of the whole job: give --time, not UNLIMITED")
    largest = max(plans, key=lambda plan: plan.nodes)
    time_s = sum(60 * minutes(time_s) for time_s in times)
    job_name = name if largest.job_name == largest.name else largest.job_name
    return dataclasses.replace(largest, name=name, job_name=job_name, time_s=time_s)


def in_order(runs: Sequence[tuple[Kept, Plan]]) -> list[tuple[Kept, Plan]]:
    """Return the runs of a study in the order in which it is best to submit them, or to make them in an allocation.

    The smallest come first if their efficiency decides about the larger ones. In an allocation the largest come first:
    if time runs out, the runs that remain are small, and ``resume`` makes them in a small allocation. Otherwise the
    order is unchanged.
    """
    plan = runs[0][1] if runs else None
    if plan is None or not (plan.pack or plan.stop_below is not None):
        return list(runs)
    return sorted(runs, key=lambda pair: pair[1].nodes, reverse=plan.stop_below is None)


def refuse_contradictions(asked: Request, plans: Sequence[Plan], study: bool, watched: bool) -> None:
    """Refuse options that do not go together with ``--pack`` or ``--stop-below``.

    Parameters
    ----------
    asked : Request
        The job options.
    plans : sequence of Plan
        Plans of all runs.
    study : bool
        Whether they are a study.
    watched : bool
        Whether a launcher stays with the runs and is the only one that decides about them.
    """
    for option, given in (("--pack", asked.pack), ("--stop-below", asked.stop_below is not None)):
        if given and not study:
            raise Refusal(f"{option} is for studies: give several --nodes, --repeats or a --sweep, or leave it out")
    queued = plans[0].is_queued
    if asked.pack:
        if not queued:
            raise Refusal(
                "--pack is for a scheduler, and the backend is local, where runs follow each other anyway: leave it out"
            )
        for option, given in (
            ("--throttle", asked.throttle),
            ("--max-attempts", asked.max_attempts > 1),  # and with it --spare-nodes
        ):
            if given:
                raise Refusal(
                    f"{option} is for runs that are jobs of their own, and --pack makes one job of all: leave one "
                    "of them out"
                )
    if asked.stop_below is not None:
        if len({plan.nodes for plan in plans}) < 2:
            raise Refusal("--stop-below compares numbers of nodes, and there is only one: give several --nodes")
        if queued and not watched and not asked.pack:
            raise Refusal(
                "--stop-below needs somebody who watches: without --detach and outside of a workflow, or let the job "
                "itself do it with --pack"
            )
