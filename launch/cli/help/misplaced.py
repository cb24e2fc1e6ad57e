"""Explains where an option belongs that stands in the wrong place: job options come before what is run, its own options
after it, and what only sbatch knows is passed to sbatch."""

import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from launch.errors import Refusal, command
from launch.plan import options
from launch.plan.options import UnknownOption
from launch.plan.request import Request
from launch.plan.target import workload
from launch.plan.target.workload import Target

_OF_SBATCH = frozenset(
    "--begin --clusters --comment --core-spec --cores-per-socket --deadline --delay-boot --dependency --distribution "
    "--exclude --export --extra-node-info --gid --gpu-freq --gres --hint --licenses --mail-type --mail-user --mem "
    "--mem-bind --mem-per-cpu --mem-per-gpu --mincpus --network --nodefile --nodelist --power --prefer --priority "
    "--profile --reservation --sockets-per-node --switches --thread-spec --threads-per-core --tmp --wckey".split()
)
_ALONE = frozenset("--exclusive --hold --nice --no-kill --overcommit --oversubscribe --reboot".split())
"""Options of sbatch that need no value."""

_INSTEAD = {
    **dict.fromkeys(
        ("-n", "--ntasks"),
        "the ranks are --nodes times --ntasks-per-node: give --nodes 1 --ntasks-per-node {value}",
    ),
    **dict.fromkeys(
        ("-o", "--output", "-e", "--error"), "the job's log is logs/job.log of the run: " + command("logs RUN --job")
    ),
    **dict.fromkeys(("-D", "--chdir"), "the ranks run in the folder that the command is given in: give it there"),
}
"""Options of sbatch about which the plan itself decides, and what to do."""

_RARELY_OF_PROGRAMS = frozenset(
    "nodes ranks_per_node gpus_per_node cpus_per_task partition account qos dry_run detach sweep repeats".split()
)


def before(unknown: UnknownOption, words: Sequence[str]) -> Refusal:
    """Return the refusal for an unknown job option.

    Parameters
    ----------
    unknown : UnknownOption
        What `launch.plan.options.split` has raised.
    words : sequence of str
        The words of the command line.
    """
    place = next(place for place, word in enumerate(words) if word.partition("=")[0] == unknown.option)
    option = unknown.option if unknown.option.startswith("--") else unknown.option[:2]
    of_sbatch = option in _INSTEAD or option in _ALONE or option in _OF_SBATCH
    for name in (word for word in words[place + 1 :] if not word.startswith("-")):
        try:
            of_workload = workload.kind(name) == "workload"
        except Refusal:
            continue  # the value of an option
        if of_workload and _has(workload.config_class(name), unknown.option):
            return Refusal(
                f"{unknown.option} is an option of {name}: put it after the name: {command(name, words[place])} ..."
            )
        if not of_workload and "did you mean" not in str(unknown) and not of_sbatch:
            return Refusal(
                f"{unknown.option} is not a job option. If it is one of {name}, put it after the name; "
                f"{command('--help')} lists the job options"
            )
        break
    value = words[place].partition("=")[2] or words[place].removeprefix(option)
    if option in _INSTEAD:
        value = value or next(iter(words[place + 1 :]), "")
        advice = _INSTEAD[option].format(value=value if value.isdecimal() else "RANKS")
        return Refusal(f"{option} is not a job option: {advice}")
    if of_sbatch:
        passed = f"{option}={value}" if value else option if option in _ALONE else f"{option}=VALUE"
        return Refusal(f"{option} is not a job option, but one of sbatch: pass it on: --sbatch-arg={passed}")
    return unknown


def behind(unknown: UnknownOption, words: Sequence[str]) -> Refusal:
    """Return the refusal for an option that a workload does not have; ``words`` begin with the workload's name."""
    flag = unknown.option if unknown.option.startswith("--") else unknown.option[:2]
    given = next((word for word in words[1:] if word.startswith(flag)), None)
    if given is None or not _has(Request, flag):  # the option may come from a file
        return unknown
    more = "" if "=" in given or len(given) > len(flag) else " ..."
    return Refusal(f"{flag} is a job option: put it before what is run: {command(given)}{more} {shlex.quote(words[0])}")


def note(target: Target) -> str:
    """Return which arguments of a program look like job options; empty if there are none, or the program knows them.

    Raises
    ------
    Refusal
        If --dry-run is given to a script that does not know it: whoever writes that wants nothing to be started.
    """
    if target.kind == "workload":
        return ""
    known = {
        flag: field.name
        for field in dataclasses.fields(Request)
        if field.name in _RARELY_OF_PROGRAMS
        for flag in options.flags(field)
        if flag.startswith("--")
    }
    given = [word.partition("=")[0] for word in target.arguments[: options.end_of_options(target.arguments)]]
    found = [flag for flag in given if flag in known]
    if not found:
        return ""
    try:
        text = Path(target.name).read_bytes() if target.kind == "script" else b""
    except OSError:
        text = b""
    unknown = [flag for flag in dict.fromkeys(found) if not _mentions(text, flag[2:])]
    if not unknown:
        return ""
    if target.kind == "script" and "--dry-run" in unknown:
        name = os.path.relpath(target.name)
        raise Refusal(
            f"--dry-run stands after {name}, which does not know it: put it before: {command('--dry-run')} ... {name}; "
            f"if it is the program's own: -- python {name} --dry-run"
        )
    return f"{' '.join(unknown)} is passed to the program, as it stands after its name; job options stand before it"


def _mentions(text: bytes, name: str) -> bool:
    return name.encode() in text or name.replace("-", "_").encode() in text


def _has(cls: type, flag: str) -> bool:
    return any(flag.replace("_", "-") in options.flags(field) for field in dataclasses.fields(cls))
