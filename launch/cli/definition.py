"""A definition: a run, a study or a workflow of them in a TOML file, with the very names of the command line.

    workload = "workloads.cfd_resnet"   # or any module or script; `arguments` are words behind it
    [job]                               # options of the job, as fields of launch.plan.request.Request
    [options]                           # options of the workload
    [axes]                              # of these all combinations
    [[zip]]                             # of these the first with the first, the second with the second ...
    exclude = [...]  only = [...]       # which combinations are made

A workflow has several tables `[[stage]]` with the same content, a `name` each, and `after`: the stages that must be done before.
"""

import dataclasses
import datetime
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch import HOME
from launch.errors import Refusal, nearest
from launch.plan import options, typed, workload
from launch.plan.plan import default_name, refuse_bad_name
from launch.plan.request import Request
from launch.plan.sweep import from_tables, list_of_tables, table_of, value_text
from launch.record.files import open_file
from launch.submit.order import Order
from launch.submit.stages import in_order

FOLDER = Path(HOME, "jobs")

_ORDER = ("workload", "arguments", "options", "job", "axes", "zip", "only", "exclude")
_OF_ALL = ("site", "backend", "runs", "name", "budget", "dry_run", "json", "follow", "wait", "detach")
"""Options of the job that all stages of a workflow share."""


def read(
    path: str,
    given: dict[str, Any],
    words: Sequence[str],
    now: datetime.datetime,
    defaults: Mapping[str, Any] | None = None,
) -> tuple[Request, list[Order]]:
    """Read a definition.

    Parameters
    ----------
    path : str
        Of the file.
    given : dict
        Options of the job from the command line, which go before those of the file; in a workflow, before those of its
        ``[job]``, while what a stage says for itself holds.
    words : sequence of str
        Options of the workload from the command line, which go before those of the file.
    now : datetime
        For the name, which is that of the file and the time unless one is given.
    defaults : dict, optional
        Options of the job before which those of the file go.

    Returns
    -------
    asked : Request
        The options of the job, of a workflow those that hold for all of it.
    orders : list of Order
        One for a run or study, with an empty name; else one for each stage, in an order in which they can run.

    Raises
    ------
    Refusal
        If the file or something in it is not understood.
    """
    table = _load(Path(path))
    name = {**(defaults or {}), "name": default_name(Path(path).stem, now)}
    try:
        if "link" in table and "stage" not in table:  # as files of older versions have it
            table["stage"] = table.pop("link")
        if "stage" in table:
            return _workflow(table, name, given, words)
        order = _order(table, _ORDER, name | _job(table), given, words)
        return order.asked, [order]
    except Refusal as refusal:
        raise Refusal(f"{path}: {refusal}") from None


def _load(path: Path) -> dict[str, Any]:
    try:
        with open_file(path) as file:
            return tomllib.load(file)
    except FileNotFoundError:
        known = {os.path.relpath(file) for folder in (path.parent, FOLDER) for file in folder.glob("*.toml")}
        raise Refusal(f"there is no definition {str(path)!r}: {nearest(os.path.relpath(path), known)}") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path} cannot be read as TOML ({error}): fix it and try again") from None


def _workflow(
    table: Mapping[str, Any], name: dict[str, str], given: dict[str, Any], words: Sequence[str]
) -> tuple[Request, list[Order]]:
    _refuse_unknown(table, ("job", "stage"))
    if "sweep" in given:
        raise Refusal("--sweep belongs to one stage: write it into the [stage.axes] of one")
    if words:
        raise Refusal(f"{words[0]!r} belongs to one stage: write it into the [stage.options] of one")
    shared = name | _job(table) | given
    stages: dict[str, dict[str, Any]] = {}
    for stage in list_of_tables(table, "stage"):
        if not isinstance(stage.get("name"), str):
            raise Refusal("a stage has no name: write name = 'train' into each [[stage]]")
        if refuse_bad_name(stage["name"]) in stages:
            raise Refusal(f"two stages have the name {stage['name']}: give each its own")
        stages[stage["name"]] = stage
    if not stages:
        raise Refusal("it has no stage: write [[stage]] for each")
    own = {name: _job(stage) for name, stage in stages.items()}
    for stage, job in own.items():
        if wrong := next((key for key in job if key in _OF_ALL), None):
            raise Refusal(f"stage {stage} has a {wrong} of its own: all stages share it, so write it into [job]")
    for key in given.keys() - set(_OF_ALL):
        if all(key in job for job in own.values()):
            raise Refusal(
                f"--{key.replace('_', '-')} would change nothing, as each stage says it for itself: edit the file"
            )
    after = {name: _strings(stage, "after") for name, stage in stages.items()}
    orders = []
    for stage in in_order(after):
        common = {key: value for key, value in shared.items() if key not in ("name", "budget")}
        try:
            order = _order(stages[stage], ("name", "after", *_ORDER), common | own[stage], {}, ())
        except Refusal as refusal:
            raise Refusal(f"stage {stage}: {refusal}") from None
        orders.append(dataclasses.replace(order, stage=stage, after=tuple(after[stage])))
    return options.build(Request, {key: value for key, value in shared.items() if key in _OF_ALL}), orders


def _order(
    table: Mapping[str, Any],
    known: Sequence[str],
    job: dict[str, Any],
    given: dict[str, Any],
    words: Sequence[str],
) -> Order:
    _refuse_unknown(table, known)
    if not isinstance(table.get("workload"), str):
        raise Refusal("it does not say what is to be run: write workload = 'workloads.cfd_resnet'")
    job = job | given
    axes = from_tables(table, job.pop("sweep", ()), job.get("nodes"))
    kind = workload.kind(table["workload"])
    hints = typed.hints(workload.config_class(table["workload"])) if kind == "workload" else {}
    texts = _texts("options", table_of(table, "options"), hints)
    found = [*_strings(table, "arguments"), *options.words(texts), *words]
    return Order(asked=options.build(Request, job), target=workload.find(table["workload"], found), axes=axes)


def _job(table: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``[job]``, as the command line would have them."""
    texts = _texts("job", table_of(table, "job"), typed.hints(Request))
    fields = {field.name: field for field in dataclasses.fields(Request)}
    if given := {"sweep", "array"} & texts.keys():
        raise Refusal(f"[job] has {given.pop()}: write the axes into [axes]")
    if unknown := next((name for name in texts if name not in fields), None):
        raise Refusal(f"[job] has {unknown}, which is not an option of the job: {nearest(unknown, fields)}")
    joined = {name: field.metadata["separator"] for name, field in fields.items() if "separator" in field.metadata}
    values, _ = options.split(Request, options.words(texts, joined))
    return values


def _texts(section: str, table: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """The values of a table as they are written on the command line, by the names of the fields that they are for."""
    texts: dict[str, str | list[str]] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if hint := hints.get(name):
            many, kind = options.is_many(hint), options.scalar(hint)[0]
            items = value if many and isinstance(value, list) else [value]
            if any(isinstance(item, list | dict) or isinstance(item, bool) is not (kind is bool) for item in items):
                wanted = "true or false" if kind is bool else "a value, or a list of values" if many else "one value"
                raise Refusal(f"[{section}] {key} = {typed.shown(value)}: give {wanted}")
        texts[name] = [value_text(key, item) for item in value] if isinstance(value, list) else value_text(key, value)
    return texts


def _strings(table: Mapping[str, Any], name: str) -> list[str]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise Refusal(f"{name} = {typed.shown(found)} is not a list of words: write {name} = ['one', 'two']")
    return found


def _refuse_unknown(table: Iterable[str], known: Iterable[str]) -> None:
    if unknown := next((name for name in table if name not in known), None):
        raise Refusal(f"{unknown} is not a key that it can have: {nearest(unknown, known)}")
