"""python -m launch [JOB OPTIONS] WORKLOAD [WORKLOAD OPTIONS]

Run a workload, a module or a script on many ranks: as processes of this machine, or as a Slurm job. Options before the
workload belong to the job, options after it to the workload.
"""

import datetime
import importlib
import os
import subprocess
import sys

from launch import options, plan, site, workload
from launch.errors import Refusal
from launch.request import Request
from launch.rundir import RunDir, publish, publish_json
from launch.walltime import clock

VERBS = {
    "resume": ("launch.resume", "RUN", "go on with a run that was stopped, killed or failed"),
    "doctor": ("launch.doctor", "", "what this environment has and lacks, and how to mend it"),
}
"""Verb -> module with a ``main(argv) -> exit status``, its arguments, and what it does. Imported on use."""

STATUS = {"done": 0, "failed": 1, "stopped": 4, "cancelled": 4, "timeout": 4}


def main(argv: list[str]) -> int:
    """Read the command line and do what it says; return the exit status."""
    if argv and argv[0] in VERBS:
        if {"-h", "--help"} & set(argv[1:]):
            print(usage([]))
            return 0
        return importlib.import_module(VERBS[argv[0]][0]).main(argv[1:])
    given, rest = options.split(Request, argv)
    if given.pop("help", False) or workload.asks_for_help(rest):
        print(usage(rest))
        return 0
    if not rest:
        raise Refusal(f"no workload is given: give one of {', '.join(workload.known())}, or --help")
    request = options.build(Request, given)
    target = workload.find(rest[0], rest[1:], VERBS)
    here, why = _site(request)
    planned = plan.resolve(request, here, target, plan.this_machine(), datetime.datetime.now())
    run = RunDir(request.runs / planned.name)
    print(describe(planned, here, why, run), flush=True)
    backend = importlib.import_module(f"launch.backends.{planned.backend}")
    backend.check(planned)
    if request.dry_run:
        print(backend.preview(run, planned))
        return 0
    run.create()
    publish_json(run.run_json, planned.to_json() | {"commit": _save_code(run, planned.cwd)})
    how = "detach" if request.detach else "follow" if request.follow and not request.wait else "wait"
    return STATUS[backend.start(run, planned, how)]


def usage(rest: list[str]) -> str:
    """The help text; with a workload, its options too."""
    text = [__doc__.strip(), "", "job options", options.describe(Request)]
    if rest:
        if workload.kind(rest[0], VERBS) == "workload":
            text += ["", f"options of {rest[0]}", options.describe(workload.config_class(rest[0]))]
    else:
        text += [
            "",
            f"workloads: {', '.join(workload.known())}; `python -m launch WORKLOAD --help` shows their options",
        ]
    text += ["", "other uses"]
    text += [f"  python -m launch {f'{verb} {arguments}':<14} {what}" for verb, (_, arguments, what) in VERBS.items()]
    text += [
        "",
        "exit status: 0 done, 1 failed, 2 bad input, 3 submission refused, 4 stopped before the end, 130 interrupted",
    ]
    return "\n".join(text)


def describe(planned: plan.Plan, here: site.Site, why: str, run: RunDir) -> str:
    """The plan, a line a fact."""
    if planned.backend == "local":
        nodes = f"{planned.nodes} node{'s' * (planned.nodes > 1)} (groups of processes on this machine)"
    else:
        nodes = f"{planned.nodes} node{'s' * (planned.nodes > 1)}"
    gpus = planned.gpus_per_node
    gpu = f"{gpus} GPU{'s' * (gpus > 1)} a node" if gpus else "no GPUs"
    rows = {
        "site": f"{here.name} ({why})",
        "backend": planned.backend,
        "shape": f"{nodes} x {planned.ranks_per_node} rank{'s' * (planned.ranks_per_node > 1)} = {planned.size} rank{'s' * (planned.size > 1)}, {gpu}",
        **planned.describe,
        "walltime": clock(planned.time_s)
        if planned.time_s
        else "none given" + ", so the partition's own" * (planned.backend == "slurm"),
        "run": str(run.path),
    }
    hidden = sorted(name for name in os.environ if name.startswith("SBATCH_"))
    if planned.backend == "slurm" and hidden:
        rows["left out"] = f"{', '.join(hidden)} of the environment: say it with an option"
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())


def _site(request: Request) -> tuple[site.Site, str]:
    if request.site:
        return site.load(request.site), "as given"
    if request.backend:
        return site.load("laptop" if request.backend == "local" else "slurm"), f"--backend {request.backend}"
    return site.detect()


def _save_code(run: RunDir, cwd: str) -> str | None:
    """Keep what the code had that no commit has; return the commit."""
    git = ["git", "-C", cwd]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=30)
        patch = subprocess.run([*git, "diff", "HEAD"], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if patch.returncode == 0 and patch.stdout:
        publish(run.patch, patch.stdout)
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
