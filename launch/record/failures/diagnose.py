"""Finds which rank failed first: by time, not by rank number, and without the cascade that follows."""

import contextlib

from launch.record.contents import FirstFailure
from launch.record.failures.causes import KILLED_FOR_MEMORY, OF_THE_GPU, OUT_OF_MEMORY, Failure, failure_of, is_cascade
from launch.record.failures.job_log import lost_nodes, not_started, section, srun_reports
from launch.record.files import Unreadable, read_lines
from launch.record.rundir import RunDir


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
    return next(iter(outside or causes or said or silent), None)


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
