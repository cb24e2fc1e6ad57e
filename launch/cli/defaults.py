"""The user's own defaults: options for every job, in ~/.config/rankloop/defaults.toml or the file that
RANKLOOP_DEFAULTS names.

    [job]
    account = "m1234"
    site = "perlmutter"
    runs = "~/scratch/runs"

The command line takes precedence over a definition, a definition over this file, and this file over the site.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from launch.errors import Refusal, nearest

_OF_ONE = ("name", "nodes", "repeats", "sweep", "dry_run", "json")
_OF_SLURM = ("partition", "account", "qos", "constraint", "sbatch_arg", "srun_arg", "inherit")
_STAYING = {"wait", "detach", "follow"}


class Defaults(NamedTuple):
    """Options of a job, by the names of their fields, and the file that they come from."""

    values: dict[str, Any]
    file: str = ""

    def beside(self, given: Mapping[str, Any]) -> "Defaults":
        """Return the defaults that do not contradict the command line."""
        dropped = set(given)
        if given.get("backend") or os.environ.get("RANKLOOP_SITE"):
            dropped.add("site")
        if given.get("site"):
            dropped.add("backend")
        if _STAYING & given.keys():
            dropped |= _STAYING
        return Defaults({name: value for name, value in self.values.items() if name not in dropped}, self.file)

    def local(self) -> "Defaults":
        """Return the defaults that apply to processes on this machine."""
        kept = {name: value for name, value in self.values.items() if name not in _OF_SLURM}
        if kept.get("gpu_binding") == "slurm":
            del kept["gpu_binding"]
        return Defaults(kept, self.file)


@functools.cache
def read() -> Defaults:
    """Return the user's defaults; empty if there is no such file.

    Raises
    ------
    Refusal
        If the file cannot be read, or something in it is not an option of a job.
    """
    said = os.environ.get("RANKLOOP_DEFAULTS")
    if said == "":
        return Defaults({})
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    file = said or os.path.join(home, "rankloop", "defaults.toml")
    if not os.path.lexists(file):
        if said:
            raise Refusal(f"RANKLOOP_DEFAULTS names {file}, and there is no such file: make it, or unset the variable")
        return Defaults({})
    from launch import toml_file

    table = toml_file.read(Path(file))
    try:
        return Defaults(_values(table, os.path.dirname(os.path.abspath(file))), file)
    except Refusal as refusal:
        raise Refusal(f"{file}: {refusal}") from None


def runs() -> Path:
    """Return the folder of the runs if none is given."""
    return read().values.get("runs", Path("runs"))


def _values(table: dict[str, Any], folder: str) -> dict[str, Any]:
    from launch.plan import options
    from launch.plan.request import Request
    from launch.plan.walltime import walltime

    if unknown := next((name for name in table if name != "job"), None):
        raise Refusal(f"{unknown} is not a key that this table can have: write options of a job below [job]")
    job = table.get("job", {})
    if not isinstance(job, dict):
        raise Refusal("job is not a table: write [job], and below it a line NAME = VALUE for each option")
    fields = {field.name: field for field in dataclasses.fields(Request)}
    words: list[str] = []
    for key, value in job.items():
        name = key.replace("-", "_")
        if name not in fields:
            raise Refusal(f"[job] has {key}, which is not an option of a job: {nearest(name, fields)}")
        if name in _OF_ONE:
            raise Refusal(f"[job] has {key}, which is for one command alone: leave it out")
        words += _words(key, value, fields[name])
    values, _ = options.split(Request, words)
    if "time" in values:
        walltime(values["time"])  # checked here, so that a refusal names the file
    for name in ("runs", "site"):
        if name in values:
            path = os.path.expanduser(values[name])
            own = name == "site" and (path.endswith(".toml") or "/" in path)
            values[name] = type(values[name])(os.path.join(folder, path) if own else path)
    return values


def _words(key: str, value: Any, field: dataclasses.Field) -> list[str]:
    """Return a value as words of a command line, which are then checked in the same way."""
    flag = key.replace("_", "-")
    if isinstance(value, bool):
        if "bool" not in str(field.type):
            raise Refusal(f"[job] {key} = {str(value).lower()}: give a value, as after --{flag}")
        return [f"--{flag}" if value else f"--no-{flag}"]
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in items):
        raise Refusal(f"[job] {key} = {value!r}: give a value, as after --{flag}")
    if "bool" in str(field.type):
        raise Refusal(f"[job] {key} = {value!r}: give true or false")
    separator = field.metadata.get("separator")
    return [f"--{flag}={separator.join(map(str, items))}"] if separator else [f"--{flag}={item}" for item in items]
