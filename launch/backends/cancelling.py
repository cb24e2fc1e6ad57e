"""Ends jobs: asks the ranks that can do so to save and leave, ends what is left, and waits until it has left the
queue."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from launch.backends.scheduler import ENDED, Answer, Part
from launch.errors import Refusal

_GRACE_S = 30.0  # longest wait for ranks that were asked to save and leave
_LEAVING_S = 90.0  # longest wait for ended jobs to leave the queue: PBS kills up to half a minute after it has asked


class Ending(NamedTuple):
    """What ending jobs needs to know about a scheduler. Ids are its names for jobs and for tasks of arrays."""

    title: str
    ids: Callable[[Part], Sequence[str]]  # ids of what makes the runs of a part; from then on none is added
    ask: Callable[[Sequence[str]], Answer]  # asks for the states of ids
    warn: Callable[[Sequence[str]], bool]  # ends what waits, asks ranks to save and leave; False if there is no answer
    end: Callable[[Sequence[str]], object]
    cleaning: str = ""  # its word for an ended job whose nodes it is still cleaning up


def cancel(parts: Sequence[Part], save_first: bool, by: Ending) -> Sequence[Part]:
    """End jobs and single runs of them, as `launch.backends.scheduler.Scheduler.cancel` says.

    Raises
    ------
    Refusal
        If one is a run of a packed study, whose job holds the others too.
    """
    if packed := next((job for job, run in parts if run and job.shape == "pack"), None):
        raise Refusal(f"job {packed.id} holds other runs of {packed.holder} too: name that folder to cancel them all")
    ids = [by.ids(part) for part in parts]
    every = list(dict.fromkeys(id for those in ids for id in those))
    how = ": the ranks are asked to save and leave; Ctrl-C again ends them at once" if save_first else ""
    print(f"\nending job {', '.join(every)}{how}", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        if save_first and by.warn(every):
            _wait_until_gone(every, by, _GRACE_S)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        by.end(every)
        left = _wait_until_gone(every, by, _LEAVING_S)
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)  # None: not installed by Python
    if cleaned_up := [id for id, word in left.items() if word and word == by.cleaning]:
        print(f"{by.title} is still cleaning up after job {', '.join(cleaned_up)}", file=sys.stderr, flush=True)
    return [part for part, those in zip(parts, ids) if left.keys() & {*those} - {*cleaned_up}]


def _wait_until_gone(ids: Sequence[str], by: Ending, seconds: float) -> dict[str, str]:
    """Wait for ids to leave the queue; return the scheduler's words for those that have not, "" if it is silent."""
    deadline = time.monotonic() + seconds
    left = dict.fromkeys(ids, "")
    while left and time.monotonic() < deadline:
        answer = by.ask(ids)
        if not answer.silence:
            found = {id: answer.statuses.get(id) for id in ids}
            left = {id: status.word for id, status in found.items() if status and status.phase != ENDED}
        if left:
            time.sleep(0.5)
    return left
