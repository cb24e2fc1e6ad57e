"""What a study ran, where, with what, when and by which command, for a reader who was not there."""

import contextlib
import datetime
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from launch.record.code import snapshot
from launch.record.contents import CodeRecord, PlanRecord, Surroundings
from launch.record.files import Unreadable, read_object
from launch.record.redact import without_secrets
from launch.record.rundir import RunDir
from profiling.study.runs import Study
from profiling.study.sweep import Sweep

# Variables that reveal hosts, users and folders but no settings (TF_CLI_ belongs to Terraform), and the GPUs that the
# scheduler gave the job, of which each rank then sees its own, or none.
_OF_THE_MACHINE = re.compile(
    r"SLURM_|TF_CLI_|LOADEDMODULES$|.*(PATH|PRELOAD|PREFIX|VIRTUAL_ENV|CONTAINER|VISIBLE_DEVICES|DEVICE_ORDINAL)$"
)


def about(study: Study) -> dict[str, str]:
    """Describe a study of one series as label -> text, in reading order, without names of hosts and folders."""
    first = study.runs[0]
    plan = first.plan
    starts, ends = (
        [time for time in times if time] for times in zip(*((run.started, run.ended) for run in study.runs))
    )
    facts = {
        "what": ", ".join([_public(plan["workload"]), *_trained(study)]),
        "series": first.series,
        "command": command(study.folder, study.index["runs"]),
        **_machine(plan, first.environment),
        "ranks": f"{_each(run.plan['ranks_per_node'] for run in study.runs)} per node, "
        f"rendezvous by {plan.get('rendezvous')}",
        "software": ", ".join(f"{name} {version}" for name, version in first.versions.items()),
        **_code(study.folder, [run.directory.path.name for run in study.runs]),
        "seed": _each(run.plan.get("seed") for run in study.runs),
        "when": f"{moment(min(starts))} to {moment(max(ends))}" if starts and ends else "unknown",
    }
    return {label: value for label, value in facts.items() if value}


def of_sweep(study: Sweep) -> dict[str, str]:
    """Describe the points of a study as `about` does; its runs need not have recorded steps."""
    done = next((run for run in study.runs if not run.why), None)
    done_runs = [run.name for run in study.runs if not run.why]
    values = {name: _each(point.values.get(name, "") for point in study.points) for name in study.axes}
    facts = {
        "what": _public(study.workload),
        "axes": "; ".join(f"{name}: {listed}" for name, listed in values.items()),
        "nodes": _each(point.nodes for point in study.points),
        "command": command(study.folder, [{"run": run.name} for run in study.runs]),
    }
    if done:
        run = RunDir(study.folder / done.name)
        facts |= _machine(run.record(), run.surroundings())
    return {label: value for label, value in (facts | _code(study.folder, done_runs)).items() if value}


def _machine(plan: PlanRecord, environment: Surroundings) -> dict[str, str]:
    """Return where a run was made, and in which environment."""
    own_job = plan["backend"] == "slurm"  # a step runs in the partition of the job that it is part of
    partition = f", partition {plan.get('partition')}" if plan.get("partition") and own_job else ""
    gpus = sorted(set(environment.get("gpus") or []))
    driver = [f"driver {version}"] if (version := environment.get("driver")) else []
    return {
        "where": f"site {plan.get('site')}, backend {plan['backend']}{partition}",
        "processor": f"{environment.get('cpu', 'unknown')}, {environment.get('cores', '?')} cores on the first node",
        "GPUs": ", ".join([*gpus, *driver]) if gpus else "none",
        "system": environment.get("system", "unknown"),
        "modules": ", ".join(environment.get("modules") or []),
        "environment": " ".join(
            f"{name}={_public(value)}"
            for name, value in (environment.get("environment") or {}).items()
            if not _OF_THE_MACHINE.match(name)
        ),
    }


def _code(folder: Path, runs: Iterable[str]) -> dict[str, str]:
    """Return the code of a study, and which of its runs went on with later code (resume --code current)."""
    by_code: dict[str, list[str]] = {}
    for name in runs:
        by_code.setdefault(snapshot.name_of(RunDir(folder / name)), []).append(name)
    first, *later = sorted({snapshot.FIRST, *by_code}, key=lambda name: (len(name), name))
    texts = [_one_code(folder, first)]
    texts += [f"{', '.join(by_code[name])}: {name}, {_one_code(folder, name)}" for name in later]
    return {"code": "; ".join(texts)}


def _one_code(folder: Path, name: str) -> str:
    code = read_object(folder / f"{name}.json", CodeRecord) or {}
    changed = f", with changes that are kept in {name}.patch" if os.path.isfile(folder / f"{name}.patch") else ""
    return f"commit {code.get('commit') or 'unknown'}{changed}"


def command(folder: Path, runs: Iterable[Mapping[str, Any]]) -> str:
    """Return the command line of the study, as its runs recorded it; "unknown" if they did not."""
    for entry in runs:
        with contextlib.suppress(Unreadable):
            for event in RunDir(folder / entry["run"]).events("submitted"):
                if (words := event.get("command")) and "resume" not in words:
                    return shlex.join(map(_public, without_secrets(words)))
    return "unknown"


def moment(seconds: float) -> str:
    """Format a time in UTC, to the minute."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _public(word: str) -> str:
    """Return a word without the folders of the machine, which mean nothing to readers: a path becomes its last part."""
    name, equals, value = word.rpartition("=")
    parts = [f".../{Path(part).name}" if part.startswith("/") else part for part in value.split(":")]
    return f"{name}{equals}{':'.join(parts)}"


def _trained(study: Study) -> list[str]:
    """Return what the runs trained, and on what, as far as they recorded it."""
    facts = {"parameters": "parameters", "examples": "training examples"}
    values = {key: [run.training[key] for run in study.runs if run.training and key in run.training] for key in facts}
    return [f"{_each(values[key])} {words}" for key, words in facts.items() if values[key]]


def _each(values: Iterable[Any]) -> str:
    """Join the distinct values of the runs, in their order."""
    return ", ".join(dict.fromkeys(map(str, values)))
