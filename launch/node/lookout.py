"""Looks out for lost nodes of a job, for starters of ranks that would wait for ever for what ran on such a node."""

import socket
import threading
import time
from collections.abc import Sequence

from launch.node.job import own_job
from launch.plan.plan import Plan

_EVERY_S = 30.0  # longest pause between two questions to the scheduler


class Lookout:
    """Asks the scheduler now and then, in a thread of its own, so that a silent scheduler delays nothing.

    Parameters
    ----------
    plan : Plan
        Plan of the run. A node counts as lost once it has been missing for ``patience_s``, as it may only be slow to
        answer.
    hosts : sequence of str
        The nodes to look out for.
    """

    def __init__(self, plan: Plan, hosts: Sequence[str]) -> None:
        self.lost: set[str] = set()
        here = _short(socket.gethostname())
        self._plan, self._hosts = plan, [host for host in hosts if _short(host) != here]
        if self._hosts:
            threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        since: dict[str, float] = {}
        every = max(min(_EVERY_S, self._plan.patience_s / 4), self._plan.poll_s)
        while True:
            time.sleep(every)
            gone, now = own_job.lost(self._plan, self._hosts), time.monotonic()
            since = {host: since.get(host, now) for host in gone}
            self.lost |= {host for host, when in since.items() if now - when >= self._plan.patience_s}


def _short(host: str) -> str:
    return host.partition(".")[0]
