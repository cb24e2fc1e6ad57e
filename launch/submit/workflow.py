"""A chain: runs and studies, its links, of which one begins when those before it are done; in one folder."""

import dataclasses
import datetime
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.backends import local, slurm, slurm_array
from launch.backends.slurm_queue import command
from launch.errors import Refusal, SubmissionRefused, nearest
from launch.plan import workload
from launch.plan.plan import Plan, refuse_bad_name
from launch.plan.request import StudyRequest
from launch.plan.shape import Machine
from launch.plan.site import Site
from launch.plan.workload import Target
from launch.record.files import read_json
from launch.record.rundir import STATUS, RunDir
from launch.submit import lock, order, stages, study
from launch.submit.order import Order, Planned
from launch.submit.stages import Link

Undone = list[tuple[Link, list[tuple[RunDir, Plan]]]]
"""Links of a chain, in their order, each with its runs that have no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain with the plans of all its links, as `launch.submit.order.Planned` is a run or study with its."""

    folder: Path
    links: Sequence[Planned]

    @property
    def plans(self) -> list[Plan]:
        """Those of all runs."""
        return [plan for link in self.links for plan in link.plans]

    @property
    def jobs(self) -> list[Plan]:
        """What is asked of the scheduler for them."""
        return [job for link in self.links for job in link.jobs]

    def described(self, here: Site, why: str) -> str:
        """The plan in words."""
        hours, unit = study.cost(self.jobs)
        order = [each.order for each in self.links]
        text = [
            f"chain          {len(order)} links, {len(self.plans)} runs",
            *(
                f"  {each.link:<12} {'after ' + ' and '.join(each.after) if each.after else 'at once'}"
                for each in order
            ),
            f"cost           {f'{hours:.4g} {unit} at most' if hours is not None else 'not known without --time'}",
            f"folder         {self.folder}",
        ]
        return "\n".join([*text, *(f"\nlink {link.order.link}\n{link.described(here, why)}" for link in self.links)])

    def check(self) -> None:
        """Refuse what the backend cannot run."""
        for link in self.links:
            link.check()
        if self.plans[0].backend == "slurm":
            slurm_array.refuse_beyond_queue(self.jobs, "make its studies smaller, as a chain is submitted whole")

    def preview(self) -> str:
        """What would be submitted or started for each link."""
        return "\n".join(f"\nlink {link.order.link}\n{_with_jobs_before(link).preview()}" for link in self.links)

    def create(self) -> None:
        """Make the folder of the chain, its index, and the folders of its links."""
        study.make_folder("chain", self.folder)
        for link in self.links:
            link.create()
        stages.write(self.folder, [Link(link.order.link, link.order.after, link.folder) for link in self.links])

    def start(self, how: str) -> int:
        """Begin, and unless ``how`` is "detach" stay to the end; return the exit status."""
        with lock.alone(self.folder):
            return make(self.folder, how)


def plan(asked: StudyRequest, orders: Sequence[Order], here: Site, machine: Machine, now: datetime.datetime) -> Chain:
    """Work out the plans of a chain.

    Raises
    ------
    Refusal
        If one is impossible, or a word of a link names ``{LINK}``, which stands for the folder of a link before it, and that
        is none.
    """
    folder = (asked.runs / refuse_bad_name(asked.name)).absolute()
    after = {each.link: each.after for each in orders}
    planned = []
    for each in orders:
        job_name = each.asked.job_name or f"{asked.name}-{each.link}"
        own = dataclasses.replace(each.asked, runs=folder, name=each.link, job_name=job_name)
        target = _with_folders(each, folder, stages.all_before(after, each.link))
        planned.append(order.plan(dataclasses.replace(each, asked=own, target=target), here, machine, now))
    return Chain(folder=folder, links=planned)


def make(folder: Path, how: str, change: Callable[[Plan], Plan] = lambda plan: plan) -> int:
    """Make what a chain lacks, and say what came of it; return the exit status.

    A link of which something is not done leaves those after it cancelled.

    Parameters
    ----------
    folder : Path
        Of the chain.
    how : str
        "follow", "wait" or "detach".
    change : function
        Applied to each plan.

    Raises
    ------
    Refusal
        If nothing is lacking.
    SubmissionRefused
        If Slurm refuses a link; those before it have been taken back.
    KeyboardInterrupt
        If the user asked for the end; nothing of the chain runs or waits then.
    """
    undone = [(link, study.unfinished(link.folder)) for link in stages.read(folder)]
    undone = [(link, [(run, change(plan)) for run, plan in runs]) for link, runs in undone if runs]
    if not undone:
        raise Refusal(f"all links of {folder} are finished: there is nothing to go on with")
    on_slurm = undone[0][1][0][1].backend == "slurm"
    if on_slurm:
        _hand_in(folder, undone)
    elif how == "detach":
        local.in_background(folder, folder / "chain.log")
    if how == "detach":
        print(f"how it is: python -m launch status {folder}", flush=True)
        return 0
    statuses: dict[str, int] = {}
    try:
        _follow(undone, statuses, how, on_slurm)
    except KeyboardInterrupt:
        if on_slurm:
            _take_back([(link, runs) for link, runs in undone if link.name not in statuses][1:])
        print(study.again(folder), flush=True)
        raise
    done = len(stages.read(folder)) - sum(status != 0 for status in statuses.values())
    print(f"\n{done} of {len(stages.read(folder))} links are done: {folder}", flush=True)
    if any(statuses.values()):
        print(study.again(folder), flush=True)
    return study.worst(statuses.values())


def depending(plan: Plan, jobs: Sequence[str]) -> Plan:
    """The plan of a run whose job begins when others have ended well, and leaves the queue when one has not."""
    if not jobs:
        return plan
    flag = "--dependency="
    asked = [word.removeprefix(flag) for word in plan.sbatch_args if word.startswith(flag)]
    kept = [word for word in plan.sbatch_args if not word.startswith(flag)]
    all_of = ",".join([*asked, f"afterok:{':'.join(jobs)}"])
    return dataclasses.replace(plan, sbatch_args=(*kept, flag + all_of, "--kill-on-invalid-dep=yes"))


def _with_jobs_before(link: Planned) -> Planned:
    """The link as it would be handed in, but for the numbers of the jobs."""
    jobs = [f"<job of {name}>" for name in link.order.after if link.plans[0].backend == "slurm"]
    return dataclasses.replace(link, plans=[depending(plan, jobs) for plan in link.plans])


def _with_folders(each: Order, folder: Path, before: set[str]) -> Target:
    def folder_of(match: re.Match[str]) -> str:
        if match[1] not in before:
            said = nearest(match[1], before)
            raise Refusal(f"link {each.link} is given {match[0]}, which is no link before it: {said}")
        return str(folder / match[1])

    words = [re.sub(r"\{([^{}]+)\}", folder_of, word) for word in each.target.arguments]
    return workload.find(each.target.name, words)


def _hand_in(folder: Path, undone: Undone) -> None:
    """Submit all links."""
    numbers: dict[str, list[str]] = {}
    for link, runs in undone:
        jobs = [job for name in link.after for job in numbers.get(name, ())]
        chained = [(run, depending(plan, jobs)) for run, plan in runs]
        print(f"link           {link.name}", flush=True)
        try:
            if index := read_json(link.folder / study.INDEX):
                study.maker(chained).hand_in(link.folder, chained, index["throttle"])
            else:
                slurm.hand_in(*chained[0])
        except (SubmissionRefused, KeyboardInterrupt) as refusal:
            _take_back([pair for pair in undone if pair[0].name in numbers])
            if isinstance(refusal, KeyboardInterrupt):
                raise
            started = any(run.events("started") for each in stages.read(folder) for run in study.runs_in(each.folder))
            if not refusal.may_be_queued and not started:
                shutil.rmtree(folder)  # it would only be in the way of the next try
            raise
        numbers[link.name] = _numbers(runs)


def _follow(undone: Undone, statuses: dict[str, int], how: str, on_slurm: bool) -> None:
    """Stay with one link after the other; note the exit status of each."""
    causes: dict[str, str] = {}
    for link, runs in undone:
        bad = next((name for name in link.after if statuses.get(name)), None)
        if bad is None:
            print(f"\nlink {link.name}", flush=True)
            statuses[link.name] = _watch(link, runs, how) if on_slurm else _start(link, runs, how)
            if statuses[link.name]:
                causes[link.name] = (
                    f"link {link.name} {'was stopped' if statuses[link.name] == STATUS['stopped'] else 'has failed'}"
                )
            continue
        causes[link.name], statuses[link.name] = causes[bad], STATUS["cancelled"]
        if on_slurm:
            command(["scancel", *_numbers(runs)])  # Slurm would do so itself, a while later
        for run, _ in runs:
            run.append_event("cancelled", reason=causes[bad])
        print(f"\nlink {link.name} is cancelled: {causes[bad]}", flush=True)


def _start(link: Link, runs: list[tuple[RunDir, Plan]], how: str) -> int:
    if (link.folder / study.INDEX).is_file():
        return study.make(link.folder, runs, how, None)
    return STATUS[local.start(*runs[0], how)]


def _watch(link: Link, runs: list[tuple[RunDir, Plan]], how: str) -> int:
    if (link.folder / study.INDEX).is_file():
        return study.tell(link.folder, runs, study.maker(runs).watch(runs, how))
    return STATUS[slurm.watch(*runs[0], how)]


def _take_back(undone: Undone) -> None:
    """Cancel the jobs of links, and wait until they have left the queue."""
    if numbers := [number for _, runs in undone for number in _numbers(runs)]:
        slurm.cancel(numbers, save_first=any(plan.kind == "workload" for _, runs in undone for _, plan in runs))
    for _, runs in undone:
        for run, _ in runs:
            if run.result() is None:
                run.append_event("cancelled")


def _numbers(runs: Sequence[tuple[RunDir, Plan]]) -> list[str]:
    """The jobs of runs that were handed in: an array for many of them."""
    return sorted({str(run.events("submitted")[-1]["job"]).partition("_")[0] for run, _ in runs}, key=int)
