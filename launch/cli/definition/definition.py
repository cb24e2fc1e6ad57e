"""A definition: a run, a study or a workflow in a TOML file, with the same names as on the command line.

    workload = "workloads.cfd_resnet"   # or any module, script or program; `arguments` are words behind it
    [job]                               # options of the job, as fields of launch.plan.request.Request
    [options]                           # options of what is run
    [fom.throughput]                    # a figure of merit that the program prints: launch.plan.figures.Figure
    [axes]                              # axes of which all combinations are made
    [[zip]]                             # axes in step: the first value with the first, the second with the second ...
    exclude = [...]  only = [...]       # which combinations are made

A workflow has several tables `[[stage]]` with the same content. Each has a `name`, and `after`: the stages that must be
done before.
"""

import dataclasses
import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch import HOME, toml_file
from launch.cli.definition.tables import Written, as_text, list_of_tables, refuse_unknown, table_of, words_of
from launch.errors import Refusal, nearest
from launch.plan import figures, options, typed
from launch.plan.names import default_name, refuse_bad_name
from launch.plan.request import Request
from launch.plan.sweep import Axes, axis, with_nodes
from launch.plan.target import workload
from launch.submit.order import Order
from launch.submit.workflow.stages import in_order

FOLDER = Path(HOME, "jobs")

_ORDER = ("workload", "arguments", "options", "fom", "job", "axes", "zip", "only", "exclude")
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
        Path of the file.
    given : dict
        Job options from the command line, which take precedence over those of the file. In a workflow they take
        precedence over its ``[job]``, but not over the options of a stage.
    words : sequence of str
        Options of the workload from the command line, which take precedence over those of the file.
    now : datetime
        The time for the name, which is made from the file's name and the time unless a name is given.
    defaults : dict, optional
        Job options over which those of the file take precedence.

    Returns
    -------
    asked : Request
        The options of the job; for a workflow, those that hold for all of it.
    orders : list of Order
        For a run or study, one order with an empty name. For a workflow, one per stage, in an order in which they can
        run.

    Raises
    ------
    Refusal
        If the file, or something in it, is not understood.
    """
    table = _load(Path(path))
    name = {**(defaults or {}), "name": default_name(Path(path).stem, now)}
    try:
        if "link" in table and "stage" not in table:  # the name in files of older versions
            table["stage"] = table.pop("link")
        if "stage" in table:
            return _workflow(table, name, given, words)
        order = _order(table, _ORDER, name | _job(table), given, words)
        return order.asked, [order]
    except options.UnknownOption as unknown:
        raise options.UnknownOption(f"{path}: {unknown}", unknown.option) from None
    except Refusal as refusal:
        raise Refusal(f"{path}: {refusal}") from None


def _load(path: Path) -> dict[str, Any]:
    try:
        return toml_file.read(path, Written)
    except FileNotFoundError:
        known = {os.path.relpath(file) for folder in (path.parent, FOLDER) for file in folder.glob("*.toml")}
        raise Refusal(f"there is no definition {str(path)!r}: {nearest(os.path.relpath(path), known)}") from None


def _workflow(
    table: Mapping[str, Any], name: dict[str, str], given: dict[str, Any], words: Sequence[str]
) -> tuple[Request, list[Order]]:
    refuse_unknown(table, ("job", "stage"))
    if "sweep" in given:
        raise Refusal("--sweep belongs to one stage: write it into the [stage.axes] of one")
    if words:
        text = f"{words[0]!r} belongs to one stage: write it into the [stage.options] of one"
        raise options.UnknownOption(text, words[0].partition("=")[0])  # it may be an option of the job
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
                f"--{key.replace('_', '-')} would change nothing, as each stage sets it itself: edit the file"
            )
    after = {name: words_of(stage, "after") for name, stage in stages.items()}
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
    refuse_unknown(table, known)
    if not isinstance(table.get("workload"), str):
        raise Refusal("it does not say what to run: write workload = 'workloads.cfd_resnet'")
    asked = figures.to_words(table_of(table, "fom"))
    job = job | {option: (*job.get(option, ()), *asked[option]) for option in asked}
    if "fom" in given:  # the file's units and kinds are those of its own figures
        job = {name: value for name, value in job.items() if name not in ("fom_unit", "fom_as")}
    job = job | given
    axes = _axes(table, job.pop("sweep", ()), job.get("nodes"))
    contained = "container" in job
    kind = workload.kind(table["workload"], contained=contained)
    hints = typed.hints(workload.config_class(table["workload"])) if kind == "workload" else {}
    texts = _texts("options", table_of(table, "options"), hints)
    found = [*words_of(table, "arguments")]
    place = options.end_of_options(found)
    found[place:place] = [*options.words(texts), *words]
    target = workload.find(table["workload"], found, contained=contained)
    return Order(asked=options.build(Request, job), target=target, axes=axes)


def _axes(table: Mapping[str, Any], said: Iterable[str], nodes: Sequence[int] | None) -> Axes:
    """Return the axes of a definition. Those given with ``--sweep`` replace others of the same name."""
    given = [(name, tuple(values)) for name, values in map(axis, said)]
    replaced = {_plain(name) for name, _ in given}
    alone = {name: values for name, values in table_of(table, "axes").items() if _plain(name) not in replaced}
    steps = [{name: _values(name, values)} for name, values in alone.items()]
    steps += [{name: values} for name, values in given]
    for together in filter(None, list_of_tables(table, "zip")):
        steps.append({name: _values(name, values) for name, values in together.items()})
    axes = {name: values for step in steps for name, values in step.items()}
    only, exclude = (
        tuple(_condition(each, axes) for each in list_of_tables(table, name)) for name in ("only", "exclude")
    )
    return Axes(steps=with_nodes(steps, nodes), only=only, exclude=exclude)


def _values(name: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        return tuple(axis(f"{name}={given}")[1])
    if not isinstance(given, list) or not given:
        raise Refusal(
            f"the axis {name} = {typed.shown(given)} is not a list of values: give {name} = [1, 2] or {name} = '0..4'"
        )
    return tuple(as_text(name, value) for value in given)


def _condition(given: Mapping[str, Any], axes: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    lists = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    return {
        name: tuple(_in_words_of(axes.get(name, ()), as_text(name, value)) for value in values)
        for name, values in lists.items()
    }


def _in_words_of(values: Sequence[str], text: str) -> str:
    """Return a value of a filter, written as on the axis: 1e-2 for 0.01, if the axis has that."""
    same = (each for each in values if _number(each) == _number(text) is not None)
    return text if text in values else next(same, text)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _job(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``[job]``, as the command line would give them."""
    texts = _texts("job", table_of(table, "job"), typed.hints(Request))
    fields = {field.name: field for field in dataclasses.fields(Request)}
    if given := {"sweep", "array"} & texts.keys():
        raise Refusal(f"[job] has {given.pop()}: write the axes into [axes]")
    for name, text in texts.items():
        if _plain(name) not in fields:
            raise Refusal(f"[job] has {name}, which is not an option of the job: {nearest(name, fields)}")
        if isinstance(text, list) and (separator := fields[_plain(name)].metadata.get("separator")):
            texts[name] = separator.join(text)
    values, _ = options.split(Request, options.words(texts))
    return values


def _texts(section: str, table: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Return the values of a table as written on the command line, with the types of the fields of these names."""
    texts: dict[str, str | list[str]] = {}
    for key, value in table.items():
        if hint := hints.get(_plain(key)):
            many, kind = typed.is_many(hint), typed.scalar(hint)[0]
            items = value if many and isinstance(value, list) else [value]
            if any(isinstance(item, list | dict) or isinstance(item, bool) is not (kind is bool) for item in items):
                wanted = "true or false" if kind is bool else "a value, or a list of values" if many else "one value"
                raise Refusal(f"[{section}] {key} = {typed.shown(value)}: give {wanted}")
        texts[key] = [as_text(key, item) for item in value] if isinstance(value, list) else as_text(key, value)
    return texts


def _plain(name: str) -> str:
    """Return the name of an option's field; files write it with ``_`` or ``-``."""
    return name.replace("-", "_")
