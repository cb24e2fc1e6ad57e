"""The code with which runs continue: that of their submission, or the code as it is now."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from launch.errors import Refusal
from launch.node.ending import saved_step
from launch.record.code import compare, snapshot, sources
from launch.record.code.tree import refuse_too_large
from launch.record.rundir import RunDir
from launch.record.study import holder_of


def take(runs: Sequence[RunDir]) -> None:
    """Copy the code as it is now, once for all runs of a study, and have their next attempts use it. Each run records
    from which attempt and checkpoint on.

    Raises
    ------
    Refusal
        If the code is too large, or the folder cannot be written to; the runs then keep their code.
    """
    by_holder: dict[Path, list[RunDir]] = {}
    for run in runs:
        by_holder.setdefault(holder_of(run), []).append(run)
    for holder, own in by_holder.items():
        before = snapshot.record_of(own[0]) or {}
        plan = own[0].plan()
        if plan.kind == "script" and not os.path.isfile(plan.workload):
            raise Refusal(f"--code current: {plan.workload} is not there any more: leave it out, or start a new run")
        copied, most = before.get("snapshot", True), before.get("limit", snapshot.MOST_MIB)
        found = sources.of(plan, holder.parent, copied)
        if copied and found.copied:
            refuse_too_large(found.trees, most, "start a new run with --snapshot-limit or --no-snapshot")
        name = snapshot.next_name(holder)
        try:
            snapshot.write(holder, name, found, copied, most)
        except OSError as error:
            shutil.rmtree(snapshot.place(holder, name), ignore_errors=True)
            raise Refusal(f"the code cannot be copied into {holder} ({error.strerror}): make room there") from None
        for run in own:
            run.append_event("code", code=name, attempt=run.attempts() + 1, step=saved_step(run))


def lines(runs: Sequence[RunDir]) -> list[str]:
    """Return which code the next attempts of runs use, and how it differs from the original as it is now; one line for
    each code.

    Raises
    ------
    Refusal
        If a snapshot that they need is gone.
    """
    groups = _groups(runs)
    return [f"{len(own)} runs: " * (len(groups) > 1) + _line(own[0]) for own in groups.values()]


def _line(run: RunDir) -> str:
    record, changes = snapshot.record_of(run), compare.changes(run)
    if record is None or changes is None:
        return "as it is now; nothing is known of that of the submission"
    snapshot.copies(run)  # or report that it is gone
    text = snapshot.described(record)
    if not changes.files:
        return f"{text}; nothing in it has changed since"
    copied = record.get("snapshot")
    plan = run.record()
    there = plan.get("kind") != "script" or os.path.isfile(plan["workload"])  # else there is nothing to copy
    takes = "; --code current takes it as it is now" * bool(copied and there)
    return f"{text}; changed since: {snapshot.some(changes.files)}{takes}"


def _groups(runs: Sequence[RunDir]) -> dict[tuple[Path, str], list[RunDir]]:
    """Group runs that share a code, by its folder and name."""
    groups: dict[tuple[Path, str], list[RunDir]] = {}
    for run in runs:
        groups.setdefault((holder_of(run), snapshot.name_of(run)), []).append(run)
    return groups
