"""python -m launch [JOB OPTIONS] WORKLOAD [WORKLOAD OPTIONS]
python -m launch [JOB OPTIONS] PROGRAM [ARGUMENTS]
python -m launch [JOB OPTIONS] FILE.toml
python -m launch VERB ...

Run a workload or any program on many ranks, as processes of this machine or as a Slurm job. Job options stand before
its name; everything after the name belongs to the workload or program.

  WORKLOAD   a module that follows the toolkit's contract, such as workloads.mnist
  PROGRAM    a path (train.py, ./a.out, run.sh), a module (-m package.module), or a name on PATH (-- hostname)
  FILE.toml  a run, a study or a workflow that is defined in a file, such as jobs/mnist_weak.toml
"""

import contextlib
import datetime
import errno
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from launch import PACKAGES, import_packages, save_time, streams

if __name__ == "__main__":
    save_time()
    import_packages()
    if sys.path[:1] == [os.getcwd()]:
        del sys.path[0]  # a module in the working directory is found only where the user names it

from launch.cli import defaults, verbs
from launch.cli.verbs import VERBS
from launch.errors import Refusal, command, program
from launch.plan import options, site, this_site
from launch.plan.names import default_name
from launch.plan.request import Request
from launch.plan.shape import this_machine
from launch.plan.sweep import from_words as axes_of_words
from launch.plan.target import workload
from launch.plan.within import allocation
from launch.record.redact import without_secrets
from launch.submit import order
from launch.submit.create import Taken
from launch.submit.order import Order
from launch.submit.study import planning

DEFINITION = ".toml"
"""The end of a word that is the path of a definition."""


def main(argv: list[str]) -> int:
    """Read the command line and do what it says; return the exit status."""
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    if argv and argv[0] in VERBS:
        return verbs.run(argv[0], argv[1:])
    if argv == ["--version"]:
        from launch.cli import version

        print(version.text())
        return 0
    try:
        given, rest = options.split(Request, argv)
    except options.UnknownOption as unknown:
        raise misplaced().before(unknown, argv) from None
    if given.pop("help", False) or workload.asks_for_help(rest):
        print(usage(rest))
        return 0
    if not rest:
        raise Refusal(f"nothing to run is given: give a program, one of {', '.join(workload.known())}, or --help")
    now = datetime.datetime.now().replace(microsecond=0)
    while True:
        try:
            return _launch(given, rest, now)
        except options.UnknownOption as unknown:
            raise misplaced().behind(unknown, rest) from None
        except Taken as refusal:
            if not refusal.folder.name.endswith(default_name("", now).removeprefix("run")):
                raise  # the user has given this name
            now = datetime.datetime.now()  # others were started in the same second, maybe on other hosts


def misplaced() -> ModuleType:
    """Return the module that says where an option belongs, which is imported only when it is needed."""
    from launch.cli.help import misplaced

    return misplaced


def _launch(given: dict[str, Any], rest: list[str], now: datetime.datetime) -> int:
    """Plan what is asked for, print the plan, and start it; return the exit status."""
    own = defaults.read().beside(given)
    asked, orders = _ordered(given, rest, now, own.values)
    here, why = _site(asked)
    backend = asked.backend or here.backend
    if own.values and backend == "local":
        own = own.local()
        asked, orders = _ordered(given, rest, now, own.values)
    found = allocation.Found() if asked.new_job else allocation.here(backend, here.gpu_resource)
    if found.allocation:
        orders = [each.within(found.allocation, given) for each in orders]
    if asked.json and not asked.dry_run:
        raise Refusal("--json is for the plan of a dry run: give --dry-run too; of what runs, status --json tells")
    if not asked.dry_run:
        streams.outlive_readers()
    how = "detach" if asked.detach else "follow" if asked.follow and not asked.wait else "wait"
    if orders[0].stage:
        from launch.submit.workflow import workflow

        planned = workflow.plan(asked, orders, here, this_machine(), now)
    else:
        planned = order.plan(orders[0], here, this_machine(), now)
    planning.refuse_beyond_budget(planned.jobs, asked.budget)
    if os.path.lexists(planned.folder) and not asked.dry_run:
        raise Taken(planned.folder)
    chosen = _effective(own.values, orders)
    if asked.json:
        import json

        planned.check()
        of_user = {"file": own.file or None, "options": {name: _said(value) for name, value in chosen.items()}}
        print(json.dumps({**planned.as_json(here, why), "defaults": of_user}, indent=1))
        return 0
    if found.why:
        print(f"{'allocation':<14} none: {found.why}")
    if chosen:
        said = ", ".join(f"{name} {_said(value)}" for name, value in chosen.items())
        print(f"{'defaults':<14} {said} ({own.file})")
    for note in dict.fromkeys(misplaced().note(each.target) for each in orders if each.target.arguments):
        if note:
            print(f"{'arguments':<14} {note}")
    print(planned.described(here, why), flush=True)
    planned.check()
    if asked.dry_run:
        print(planned.preview())
        return 0
    words = [*sys.argv[1:], *(word for each in orders for word in each.target.arguments)]
    if without_secrets(words) != words:
        # run.json has to hold the words that the ranks are started with, so a warning is all that can be done.
        print(
            "launch: a word of the command line looks like a secret: others on this machine can see it, and run.json "
            "keeps it; put it into the environment instead, which the ranks inherit and no file of the run keeps",
            file=sys.stderr,
        )
    from launch.submit import start  # imported late: a dry run does not need it

    return start.start(planned, how)


def usage(rest: list[str]) -> str:
    """Return the help text. With a workload, its options come first, as they are what the user asked for."""
    from launch.cli.help import examples
    from launch.plan import option_help

    text = [str(__doc__).strip().replace("python -m launch", program())]
    for name in _workloads(rest):
        text.append(option_help.describe(workload.config_class(name), f"options of {name}, after its name"))
    heading = "job options, before the name"
    text.append(f"{heading}; [a default is in brackets]\n\n{option_help.describe(Request)}")
    if not rest:
        known = "\n".join(f"  {name}" for name in workload.known())
        text.append(f"workloads ({command('WORKLOAD --help')} shows their options)\n{known}")
        text.append(f"verbs ({command('VERB --help')} shows their options)\n{verbs.table()}")
    text += [
        "exit status\n  0 done, 1 failed, 2 bad input, 3 submission refused, 4 stopped before the end, 130 interrupted",
        examples.of("WORKLOAD" if rest else ""),
    ]
    return "\n\n".join(text)


def _workloads(rest: list[str]) -> list[str]:
    """Return the workloads that the command line names: the workload itself, or those of a definition."""
    if not rest:
        return []
    if rest[0].endswith(DEFINITION):
        _, orders = _ordered({}, rest[:1], datetime.datetime.now())
        return list(dict.fromkeys(each.target.name for each in orders if each.target.kind == "workload"))
    name = rest[rest[0] == "-m"]
    return [name] if workload.kind(name, VERBS) == "workload" else []


def _effective(values: dict[str, Any], orders: list[Order]) -> dict[str, Any]:
    """Return the user's defaults that apply to at least one of the runs."""
    return {name: value for name, value in values.items() if any(getattr(each.asked, name) == value for each in orders)}


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _ordered(
    given: dict[str, Any], rest: list[str], now: datetime.datetime, own: dict[str, Any] | None = None
) -> tuple[Request, list[Order]]:
    """Return what is asked for by a definition file, or by the words alone, and by the user's own defaults."""
    if rest[0].endswith(DEFINITION):
        from launch.cli.definition import definition

        return definition.read(rest[0], given, rest[1:], now, own)
    asked = options.build(Request, {**(own or {}), **given})
    axes = axes_of_words(asked.sweep, given.get("nodes"))
    target = workload.find(rest[0], rest[1:], VERBS, contained=asked.container is not None)
    return asked, [Order(asked=asked, target=target, axes=axes)]


def _site(request: Request) -> tuple[site.Site, str]:
    if request.site:
        return site.load(request.site), "as given"
    if request.backend:
        return site.load("laptop" if request.backend == "local" else request.backend), f"--backend {request.backend}"
    return this_site.detect()


def entry(main: Callable[[list[str]], int] = main) -> NoReturn:
    """Run a command on the words of the command line, and end the process. An error that the user can fix is reported
    in one line."""
    name = program().rpartition(" ")[2]
    streams.escape()
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except Refusal as refusal:
        from launch.record.table import on_a_line

        print(f"{name}: {on_a_line(str(refusal))}", file=sys.stderr)
        status = refusal.status
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # the reader has seen enough: `| head`
        streams.drop_output()
        status = 0
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in PACKAGES:
            raise
        print(f"{name}: {error.name} is not installed for {sys.executable}: see {command('doctor')}", file=sys.stderr)
        status = 1
    except OSError as error:
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        what += _ADVICE.get(error.errno or 0, "")
        if error.filename is None and not streams.takes_output():
            what = f"cannot write to standard output ({error.strerror})"
        print(f"{name}: {what}", file=sys.stderr)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)  # tearing down everything that was imported would take part of a dry run's time


_ADVICE = {
    errno.ENOSPC: "; free some room there, then continue with resume",
    errno.EDQUOT: "; free some room there, then continue with resume",
    errno.EMFILE: "; raise the limit on open files (ulimit -n), or start fewer ranks here",
    errno.ENFILE: "; close some programs, or start fewer ranks here",
    errno.EAGAIN: "; raise the limit on processes (ulimit -u), or start fewer ranks here",
    errno.ENOMEM: "; start fewer ranks here",
}


if __name__ == "__main__":
    entry()
