"""python -m launch sites [NAME|FILE|new [--name NAME]] [--json]: the machines that you can run on.

Without an argument: print a table of the sites and which one this machine is. With a name or a file: check it and print
its content. With ``new``: write a site file for this Slurm, PBS or Flux to standard
output.
"""

import dataclasses
import importlib
import json
from dataclasses import dataclass
from typing import Any

from launch.errors import Refusal, command
from launch.plan import options, site, this_site
from launch.plan.site import Site
from launch.record.table import aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to print the sites, and the name for a new one."""

    json: bool = False  # print JSON, for programs
    name: str | None = None  # name of the new site; by default that of the cluster


def main(argv: list[str]) -> int:
    """Print what was asked for; return the exit status.

    Raises
    ------
    Refusal
        If there is no such site, if it holds a mistake, or if no scheduler answers.
    """
    chosen, words = options.with_words(Options, argv, "sites")
    if chosen.name is not None and (words != ["new"] or not chosen.name.isprintable()):
        raise Refusal(f"--name {chosen.name!r} is that of a new site: sites new --name NAME, without line breaks")
    match words:
        case [] if chosen.json:
            print(json.dumps(as_json(), indent=1))
        case []:
            print(table())
        case ["new"] if chosen.json:
            raise Refusal("sites new writes a site file, which is TOML: leave out --json")
        case [word] if chosen.json:
            asked = site.load(word)
            print(json.dumps(dataclasses.asdict(asked) | {"not_known": site.unknown(asked)}, indent=1))
        case ["new"]:
            told = _ask()
            print((dataclasses.replace(told, name=chosen.name) if chosen.name else told).text(), end="")
        case [name]:
            print(content(site.load(name)))
        case _:
            raise Refusal(
                f"sites {' '.join(argv)!r}: give a site's name or file, 'new', 'new --name NAME', or nothing for a "
                "table"
            )
    return 0


def _ask() -> Any:
    """Return what the scheduler of this machine reports, to write a site file from."""
    return importlib.import_module(f"launch.backends.{this_site.scheduler() or 'slurm'}.site_file").ask()


def as_json() -> dict[str, Any]:
    """Return the table as an object, for programs."""
    here, why = this_site.detect()
    known = map(site.load, site.names())
    rows = [
        {"name": each.name, "here": each.name == here.name, "node": _node(each), "recognised_by": _recognised(each)}
        | {"description": each.description, "backend": each.backend, "nodes": each.nodes, "tried": each.tried or None}
        for each in known
    ]
    return {"here": here.name, "why": why, "sites": rows}


def table() -> str:
    """Return one line for each site, and which one this machine is."""
    here, why = this_site.detect()
    rows = [("", "site", "nodes", "a node", "scheduler", "tried", "")]
    for known in map(site.load, site.names()):
        mark = "*" if known.name == here.name else ""
        nodes, tried = str(known.nodes or "not known"), known.tried or "not tried"
        if known.backend == "local":
            nodes = "this one"
        rows.append((mark, known.name, nodes, _node(known), known.backend, tried, known.description))
    return f"{aligned(rows)}\n\nall that one says: {command('sites SITE')}\nthis machine is {here.name}: {why}"


def content(asked: Site) -> str:
    """Return what a site file says, one line per key, and what it leaves open."""
    lines = [f"{'recognised by':<24} {_recognised(asked)}"] * (asked.name in site.names())
    for key in dataclasses.fields(Site):
        value = getattr(asked, key.name)
        if isinstance(value, dict):
            lines += [f"{f'{key.name}.{name}':<24} {_plain(item)}" for name, item in value.items()]
        elif value not in (None, [], ""):
            lines.append(f"{key.name:<24} {_plain(value)}")
    open_ = ", ".join(site.unknown(asked)) or "nothing that a run asks for"
    return "\n".join([*lines, f"{'not known':<24} {open_}"])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _node(known: Site) -> str:
    if known.backend == "local":
        return "processes"
    parts = [(known.gpus_per_node, "GPU" if known.gpus_per_node == 1 else "GPUs"), (known.cpus_per_node, "cores")]
    return ", ".join(f"{count} {what}" for count, what in parts if count) or "not known"


def _recognised(known: Site) -> str:
    identify = known.identify
    by = []
    if "env" in identify:
        by.append(identify["env"] + (f"={identify['is']}" if "is" in identify else ""))
    if "host" in identify:
        by.append(f"host name {identify['host']}")
    if known.name in this_site.FALLBACKS:
        by.append(this_site.FALLBACKS[known.name])
    return " or ".join(by) or f"--site {known.name} only"
