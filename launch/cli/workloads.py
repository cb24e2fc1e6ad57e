"""python -m launch workloads: the workloads that come with the toolkit, in lines that fit the terminal.

What each does, which data it needs, and about how long its training takes on two cores. A workload says so itself, in
the docstring of its package: in its first line, and in those that begin with ``Data:`` and ``Time:``.
"""

import ast
import shutil
import textwrap
from pathlib import Path

from launch import HOME
from launch.errors import Refusal, command
from launch.plan.target import modules


def main(argv: list[str]) -> int:
    """Print the table; return 0.

    Raises
    ------
    Refusal
        If there are arguments.
    """
    if argv:
        raise Refusal(f"workloads takes no arguments and was given {' '.join(argv)}: leave them out")
    found = packages()
    programs = [name(p) for p in found if not modules.is_workload(p / "__init__.py")]
    width = shutil.get_terminal_size().columns
    for package in found:
        first, does, data, time = line(package)
        print(first)
        for text in (does, f"data: {data}", f"on two cores: {time}"):
            print(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))
        print()
    print(f"{command('WORKLOAD --help')} shows the options of one")
    print("\n".join(f"python -m {each} --help shows those of a program" for each in programs))
    return 0


def packages() -> list[Path]:
    """Return the folders of all workloads, and of the programs beside them that are launched in the same way."""
    folder = Path(HOME, modules.TRAINER.partition(".")[0])
    starts = sorted(folder.glob("*/__init__.py"))
    return [s.parent for s in starts if modules.is_workload(s) or s.with_name(modules.MAIN).is_file()]


def line(package: Path) -> tuple[str, str, str, str]:
    """Return the name, purpose, data and time of a workload, from its docstring; nothing is imported."""
    text = ast.get_docstring(ast.parse(package.joinpath("__init__.py").read_bytes())) or ""
    first, *others = text.splitlines() or [""]
    said = {key: value.strip() for key, _, value in (other.partition(":") for other in others)}
    return name(package), first.rstrip("."), said.get("Data", "?"), said.get("Time", "?")


def name(package: Path) -> str:
    """Return the name under which a workload or program is launched."""
    return f"{package.parent.name}.{package.name}"
