"""python -m launch [JOB OPTIONS] WORKLOAD [WORKLOAD OPTIONS]

Run a workload, a module or a script on many ranks: as processes of this machine, or as a Slurm job. Options before the
workload belong to the job, options after it to the workload. In place of a workload, jobs/NAME.toml may stand: a run, a study
or a workflow that is defined in that file.
"""

import datetime
import errno
import importlib
import os
import sys
from typing import Any

from launch.errors import Refusal
from launch.plan import options, site, workload
from launch.plan.request import Request, StudyRequest
from launch.plan.shape import this_machine
from launch.plan.sweep import from_words as axes_of_words
from launch.record.redact import HIDDEN, redact_words
from launch.submit import order, study
from launch.submit.order import Order

DEFINITION = ".toml"
"""The end of a word that is the path of a definition."""

VERBS = {
    "resume": ("launch.cli.resume", "RUN|STUDY", "go on with a run that was stopped, killed or failed"),
    "status": ("launch.cli.status", "[RUN ...]", "how runs are: all in the folder runs, or those named"),
    "list": (
        "launch.cli.listing",
        "[FOLDER ...]",
        "studies and runs, a line each, with how many of theirs are in which state",
    ),
    "diff": (
        "launch.cli.diff",
        "RUN RUN",
        "in what two runs differ: plan, code, environment, versions, machine, results",
    ),
    "logs": ("launch.cli.logs", "RUN", "what the ranks of a run have printed"),
    "cancel": ("launch.cli.cancel", "RUN ...", "end runs, so that they can be resumed"),
    "doctor": ("launch.cli.doctor", "", "what this environment has and lacks, and how to mend it"),
    "sites": (
        "launch.cli.sites",
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
    now = datetime.datetime.now()
    asked, orders = _ordered(given, rest, now)
    here, why = _site(asked)
    how = "detach" if asked.detach else "follow" if asked.follow and not asked.wait else "wait"
    if orders[0].stage:
        from launch.submit import workflow

        planned = workflow.plan(asked, orders, here, this_machine(), now)
    else:
        planned = order.plan(orders[0], here, this_machine(), now)
    study.refuse_beyond_budget(planned.jobs, asked.budget)
    print(planned.described(here, why), flush=True)
    planned.check()
    if asked.dry_run:
        print(planned.preview())
        return 0
    if any(HIDDEN in word for each in orders for word in redact_words(list(each.target.arguments))):
        # What the ranks are started with has to stand in run.json, so all that can be done is to say it.
        print(
            "launch: a word of the command line looks like a secret: others on this machine can see it, and it stays in "
            "run.json; give it in the environment, which the ranks inherit and no file of the run keeps",
            file=sys.stderr,
        )
    return order.start(planned, how)


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
        if rest[0].endswith(DEFINITION):
            _, orders = _ordered({}, rest[:1], datetime.datetime.now())
            names = list(dict.fromkeys(each.target.name for each in orders if each.target.kind == "workload"))
        else:
            names = [rest[0]] if workload.kind(rest[0], VERBS) == "workload" else []
        for name in names:
            text += ["", f"options of {name}", options.describe(workload.config_class(name))]
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


def _ordered(given: dict[str, Any], rest: list[str], now: datetime.datetime) -> tuple[StudyRequest, list[Order]]:
    """What is asked for: by the file of a definition, or by the words alone."""
    if rest[0].endswith(DEFINITION):
        from launch.cli import definition

        return definition.read(rest[0], given, rest[1:], now)
    asked = options.build(StudyRequest, given)
    axes = axes_of_words(asked.array, given.get("nodes"))
    return asked, [Order(asked=asked, target=workload.find(rest[0], rest[1:], VERBS), axes=axes)]


def _site(request: Request) -> tuple[site.Site, str]:
    if request.site:
        return site.load(request.site), "as given"
    if request.backend:
        return site.load("laptop" if request.backend == "local" else "slurm"), f"--backend {request.backend}"
    return site.detect()


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
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"launch: no room where the run is ({error.strerror}): free some, then go on with resume", file=sys.stderr
        )
        return 1


if __name__ == "__main__":
    sys.exit(_entry())
