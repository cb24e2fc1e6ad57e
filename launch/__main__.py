"""python -m launch [JOB OPTIONS] WORKLOAD [WORKLOAD OPTIONS]

Run a workload, a module or a script on many ranks: as processes of this machine, or as a Slurm job. Options before the
workload belong to the job, options after it to the workload.
"""

import dataclasses
import datetime
import importlib
import os
import subprocess
import sys
from pathlib import Path

from launch import describe, options, plan, site, study, workload
from launch.errors import Refusal
from launch.request import Request, StudyRequest
from launch.rundir import STATUS, RunDir, publish, publish_json
from launch.shape import this_machine

VERBS = {
    "resume": ("launch.resume", "RUN", "go on with a run that was stopped, killed or failed"),
    "status": ("launch.status", "[RUN ...]", "how runs are: all in the folder runs, or those named"),
    "logs": ("launch.logs", "RUN", "what the ranks of a run have printed"),
    "cancel": ("launch.cancel", "RUN ...", "end runs, so that they can be resumed"),
    "doctor": ("launch.doctor", "", "what this environment has and lacks, and how to mend it"),
    "sites": (
        "launch.sites",
        "[SITE|new]",
        "the machines one can run on; what a site file says; write one for this Slurm",
    ),
}
"""Verb -> module with a ``main(argv) -> exit status``, its arguments, and what it does. Imported on use."""


def main(argv: list[str]) -> int:
    """Read the command line and do what it says; return the exit status."""
    if argv and argv[0] in VERBS:
        if {"-h", "--help"} & set(argv[1:]):
            print(help_of(argv[0]))
            return 0
        return importlib.import_module(VERBS[argv[0]][0]).main(argv[1:])
    given, rest = options.split(StudyRequest, argv)
    if given.pop("help", False) or workload.asks_for_help(rest):
        print(usage(rest))
        return 0
    if not rest:
        raise Refusal(f"no workload is given: give one of {', '.join(workload.known())}, or --help")
    asked = options.build(StudyRequest, given)
    target = workload.find(rest[0], rest[1:], VERBS)
    here, why = _site(asked)
    how = "detach" if asked.detach else "follow" if asked.follow and not asked.wait else "wait"
    if study.is_study(asked):
        return _study(asked, target, here, why, how)
    request = Request(
        **{f.name: getattr(asked, f.name) for f in dataclasses.fields(Request)} | {"nodes": asked.nodes[0]}
    )
    planned = plan.resolve(request, here, target, this_machine(), datetime.datetime.now())
    study.refuse_beyond_budget([planned], asked.budget)
    run = RunDir(request.runs / planned.name)
    print(describe.run_plan(planned, here, why, run), flush=True)
    backend = importlib.import_module(f"launch.backends.{planned.backend}")
    backend.check(planned)
    if request.dry_run:
        print(backend.preview(run, planned))
        return 0
    run.create()
    publish_json(run.run_json, planned.to_json() | {"commit": _save_code(run.patch, planned.cwd)})
    return STATUS[backend.start(run, planned, how)]


def _study(asked: StudyRequest, target: workload.Target, here: site.Site, why: str, how: str) -> int:
    """Plan, and unless it is a dry run make, a study; return the exit status."""
    now = datetime.datetime.now()
    found = study.points(asked)
    plans = study.plans(asked, target, found, here, this_machine(), now)
    study.refuse_beyond_budget(plans, asked.budget)
    name = plan.refuse_bad_name(asked.name) if asked.name else f"{target.short_name}-study-{now:%Y%m%d-%H%M%S}"
    folder = (asked.runs / name).absolute()
    print(describe.study_plan(found, plans, asked.scaling, here, why, folder), flush=True)
    single = importlib.import_module(f"launch.backends.{plans[0].backend}")
    for planned in {planned.nodes: planned for planned in plans}.values():
        single.check(planned)
    if asked.dry_run:
        print(study.preview(folder, found, plans, asked.throttle))
        return 0
    runs = study.create(folder, asked, found, plans)
    publish_json(folder / "code.json", {"commit": _save_code(folder / "code.patch", plans[0].cwd)})
    return study.make(folder, list(zip(runs, plans)), how, asked.throttle)


def help_of(verb: str) -> str:
    """The help text of a verb."""
    module = importlib.import_module(VERBS[verb][0])
    text = [module.__doc__.strip()]
    if hasattr(module, "Options"):
        text += ["", "options", options.describe(module.Options)]
    return "\n".join(text)


def usage(rest: list[str]) -> str:
    """The help text; with a workload, its options too."""
    text = [__doc__.strip(), "", "job options", options.describe(StudyRequest)]
    if rest:
        if workload.kind(rest[0], VERBS) == "workload":
            text += ["", f"options of {rest[0]}", options.describe(workload.config_class(rest[0]))]
    else:
        text += [
            "",
            f"workloads: {', '.join(workload.known())}; `python -m launch WORKLOAD --help` shows their options",
        ]
    text += ["", "other uses"]
    text += [f"  python -m launch {f'{verb} {arguments}':<16} {what}" for verb, (_, arguments, what) in VERBS.items()]
    text += [
        "",
        "exit status: 0 done, 1 failed, 2 bad input, 3 submission refused, 4 stopped before the end, 130 interrupted",
    ]
    return "\n".join(text)


def _site(request: Request) -> tuple[site.Site, str]:
    if request.site:
        return site.load(request.site), "as given"
    if request.backend:
        return site.load("laptop" if request.backend == "local" else "slurm"), f"--backend {request.backend}"
    return site.detect()


def _save_code(patch_file: Path, cwd: str) -> str | None:
    """Keep what the code had that no commit has; return the commit."""
    git = ["git", "-C", cwd]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=30)
        patch = subprocess.run([*git, "diff", "HEAD"], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if patch.returncode == 0 and patch.stdout:
        publish(patch_file, patch.stdout)
    return commit.stdout.strip() or None


def _entry() -> int:
    try:
        return main(sys.argv[1:])
    except Refusal as refusal:
        print(f"launch: {refusal}", file=sys.stderr)
        return refusal.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(_entry())
