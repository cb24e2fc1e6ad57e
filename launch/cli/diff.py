"""python -m launch diff RUN RUN [--json]: in what two runs differ - plan, code, environment, versions, machine,
results.

It shows only differences, and for results how large they are. It leaves out what differs between any two runs: name,
job, times. The exit status is 0 whether they differ or not.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from launch.cli.names import Named
from launch.errors import Refusal, command
from launch.plan import options
from launch.record.code import patch, snapshot
from launch.record.files import MOST, read_end
from launch.record.redact import without_secrets
from launch.record.rundir import RunDir

ABSENT = "-"
"""Stands for something that only the other run has."""

_OF_EACH_RUN = {"name", "job_name", "commit"}  # fields of a plan that differ between any two runs
# Variables of the environment that identify this job and this node.
_OF_EACH_JOB = re.compile(
    r"SLURM_(ARRAY_.*|CONF|GTIDS|JOB_?ID|JOB_NAME|JOB_(START|END)_TIME|JOB_NODELIST|LAUNCH_NODE_IPADDR|LOCALID|NODEID|"
    r"NODELIST|PRIO_PROCESS|PROCID|RESTART_COUNT|SRUN_COMM_.*|STEP.*|SUBMIT_DIR|SUBMIT_HOST|TASK_PID|TOPOLOGY_ADDR.*|"
    r"WORKING_CLUSTER)"
)
_PATHS = re.compile(r"[^:\s]*(:[^:\s]*)*")  # the folders of a variable, or loaded modules, but not a sentence
_WIDE = 48  # characters: longer values are shown below each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Named):
    """How to show the differences."""

    json: bool = False  # print JSON, for programs


def main(argv: list[str]) -> int:
    """Print how two runs differ; return 0.

    Raises
    ------
    Refusal
        If two runs are not given, or a file of theirs is damaged.
    """
    chosen, words = options.with_words(Options, argv, "diff")
    if len(words) != 2:
        raise Refusal(f"diff needs two runs, and {len(words)} are given: {command('diff RUN RUN')}")
    found = differences(*(facts(RunDir.open(chosen.path(word))) for word in words))
    if chosen.json:
        print(json.dumps({"runs": words, "differences": found}, indent=1))
    else:
        print("\n".join(report(words, found)))
    return 0


def facts(run: RunDir) -> dict[str, dict[str, Any]]:
    """Return what is known about a run, in flat groups: plan, code, environment, versions, machine, results."""
    plan = without_secrets(run.record())
    around, result = without_secrets(run.surroundings()), run.result() or {}
    words = plan.pop("arguments", None) or []
    started = run.events("started")[-1:]
    machine = {name: around.get(name) for name in ("system", "cpu", "cores", "gpus", "driver", "gpu_faults")}
    talks = {
        name: {k: v for k, v in of.items() if k not in ("line", "address")}
        for name, of in around.get("network", {}).items()
        if isinstance(of, dict)  # beside them is the number of the attempt
    }
    metrics = {
        name: value
        for name, value in result.items()
        if name not in ("ranks", "nodes", "versions", "phases_s", "metrics", "units")
    }
    return {
        "plan": _flat({k: v for k, v in plan.items() if k not in _OF_EACH_RUN | {"entry"}}) | _options(words),
        "code": _code(run, plan),
        "environment": {
            name: value for name, value in (around.get("environment") or {}).items() if not _OF_EACH_JOB.fullmatch(name)
        }
        | {"modules": around.get("modules") or None},
        "versions": {"python": around.get("python")} | (around.get("packages") or {}) | (result.get("versions") or {}),
        "machine": machine
        | _flat({"network": talks})
        | {"nodes": next((event.get("nodes") or event.get("host") for event in started), None)},
        "results": metrics | _flat({"metrics": result.get("metrics") or {}, "seconds": result.get("phases_s") or {}}),
    }


def differences(
    one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, list[Any]]]:
    """Return the values that differ, by group and name; None for what one run does not have."""
    found = {}
    for group in one:
        names = dict.fromkeys([*one[group], *other[group]])
        pairs = {name: [one[group].get(name), other[group].get(name)] for name in names}
        if differ := {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}:
            found[group] = differ
    return found


def report(names: list[str], found: Mapping[str, Mapping[str, list[Any]]]) -> list[str]:
    """Return the lines of the report."""
    if not found:
        return [f"{names[0]} and {names[1]} do not differ"]
    cells = {
        group: {name: [_shown(value) for value in pair] for name, pair in differ.items()}
        for group, differ in found.items()
    }
    short = [(name, pair) for differ in cells.values() for name, pair in differ.items() if not _is_wide(pair)]
    label = max((len(name) for name, _ in short), default=0)
    width = max([len(names[0]), *(len(pair[0]) for _, pair in short)])
    lines = [f"  {'':<{label}}  {names[0]:<{width}}  {names[1]}"]
    for group, differ in cells.items():
        lines += ["", group]
        for name, pair in differ.items():
            if _is_wide(pair):
                lines += [f"  {name}", *(f"    {sign} {part}" for sign, part in _parts(pair))]
            else:
                by = _by(*found[group][name]) if group == "results" else ""
                lines.append(f"  {name:<{label}}  {pair[0]:<{width}}  {pair[1]}{by}")
    return lines


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


def _options(words: list[str]) -> dict[str, Any]:
    """Return the options of a command line by name, and the words that belong to no option."""
    found: dict[str, Any] = {}
    rest, last = [], None
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            last = None if equals else name
            found[name] = value if equals else True
        elif last is not None:
            found[last], last = word, None
        else:
            rest.append(word)
    return found | ({"arguments": " ".join(rest)} if rest else {})


def _code(run: RunDir, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the commit, each file changed since (lines added and removed, with a hash of them), and what changed after
    the submission. For runs without a commit, a hash of the files shows whether they are the same."""
    record = snapshot.record_of(run) or {}
    commit = record.get("commit") or plan.get("commit")
    text = read_end(snapshot.patch_of(run), MOST).decode(errors="replace")
    changed = {}
    for name, lines in patch.files(text).items():
        body = re.split(r"^@@", lines, maxsplit=1, flags=re.MULTILINE)[-1]
        added, removed = (len(re.findall(rf"^\{sign}", body, re.MULTILINE)) for sign in "+-")
        changed[name] = f"+{added} -{removed} ({hashlib.sha256(body.encode()).hexdigest()[:7]})"
    last = next(reversed(run.events("started")), {})
    now = last.get("code_hash") or record.get("hash")
    # With a snapshot, later changes of the original have not run.
    since = [] if record.get("snapshot") else last.get("changed") or []
    return {"commit": commit, "files": now and now[:12], "changed later": snapshot.some(since) or None} | changed


def _shown(value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        counts = {str(item): value.count(item) for item in value}
        return ", ".join(f"{count} x {item}" if count > 1 else item for item, count in counts.items()) or "none"
    return str(value) or "''"


def _is_wide(pair: list[str]) -> bool:
    return max(map(len, pair)) > _WIDE


def _parts(pair: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the values below each other; for lists of paths, only those that one list lacks."""
    if ABSENT in pair or not all(map(_PATHS.fullmatch, pair)):
        yield from (("<>"[i], value) for i, value in enumerate(pair))
        return
    one, other = (value.split(":") for value in pair)
    lacking = [("<", part) for part in one if part not in other] + [(">", part) for part in other if part not in one]
    yield from lacking or [("<", pair[0]), (">", pair[1])]  # they differ only in their order


def _by(one: Any, other: Any) -> str:
    """Return how much larger the second number is than the first."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return f"  ({other / one - 1:+.1%})" if numbers and one else ""
