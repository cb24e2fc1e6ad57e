"""Finds which rank failed first: by time, not by rank number, and without the cascade that follows."""

import contextlib
import re
from collections.abc import Sequence

from launch.record.contents import FirstFailure
from launch.record.failures.causes import (
    KILLED_FOR_MEMORY,
    OF_THE_GPU,
    OUT_OF_MEMORY,
    Failure,
    failure_of,
    is_cascade,
    is_crash,
)
from launch.record.failures.job_log import lost_nodes, not_started, section, srun_reports
from launch.record.files import Unreadable, read_lines
from launch.record.rundir import RunDir

_CASCADE_S = 2.0  # time in which the other ranks notice that one has gone


def first_failure(run: RunDir, attempt: int) -> Failure | None:
    """Return the first rank that failed in an attempt, or None if none did.

    Exceptions are ordered by time. If no rank's own exception explains the end, the report of srun or the local
    launcher names a rank that could not say why it ended.
    """
    records: list[FirstFailure] = []
    for path in sorted(run.failures.glob("node*.jsonl")):
        with contextlib.suppress(Unreadable):
            records += read_lines(path, FirstFailure)
    said = [
        failure_of(record)
        for record in sorted(records, key=lambda record: record.get("time") or 0.0)
        if record.get("attempt") == attempt
    ]
    spoken = {failure.rank for failure in said}
    silent = [failure for failure in srun_reports(run, attempt) if failure.rank not in spoken]
    causes = [failure for failure in [*said, *silent] if not is_cascade(failure.error)]
    # A rank that was killed reported nothing, and what the others reported is the cascade.
    outside = lost_nodes(run, attempt) or not_started(run, attempt)
    return next(iter(outside or _crash_among(causes) or causes or said or silent), None)


def _crash_among(causes: Sequence[Failure]) -> list[Failure]:
    """Return the crash behind the first of some failures, if that is a mere exit status of about the same time.

    An MPI library leaves with a status of its own once another rank has gone, and that may be recorded before the end
    of that rank, on another node. Nobody sends the signal of a crash, so a crash follows from no other failure.
    """
    if not causes or not re.fullmatch(r"exit status \d+", causes[0].error):
        return []
    latest = (causes[0].time or 0.0) + _CASCADE_S
    return [one for one in causes if is_crash(one.error) and (one.time or 0.0) <= latest][:1]


def named(run: RunDir, outcome: str) -> str:
    """Return the outcome, with a name of its own for a failure that was a rank's refusal."""
    failures = [failure for event in run.events("ended") if (failure := event.get("first_failure"))]
    return "refused" if outcome == "failed" and failures and failures[-1].get("refused") else outcome


def ran_out_of_memory(run: RunDir) -> bool:
    """Return whether the last attempt certainly ended because the node's memory, not a GPU's, ran out."""
    attempt = run.attempts()
    ended = [event for event in run.events("ended") if event.get("attempt") == attempt]
    failure = (ended[-1].get("first_failure") if ended else None) or {}
    said = "\n".join([failure.get("error", ""), failure.get("traceback", ""), section(run, attempt)])
    # Under a limit on the address space, an allocation is refused while the node has memory left.
    sign = OUT_OF_MEMORY if failure.get("address_space") is None else KILLED_FOR_MEMORY
    return OF_THE_GPU.search(said) is None and sign.search(said) is not None
