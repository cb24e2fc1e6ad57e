"""The watcher of a node:   launch.node.hang.watch RUN NODE ATTEMPT TIMEOUT_S RANKS

Every few seconds it looks for signs of life of the node's ranks, and reports in meeting/ what it has seen. The first
watcher that is present decides whether the run hangs: it does when no rank of the run has shown a sign of life for the
timeout. Then all watchers keep the stacks of their ranks, the first one says which rank is behind, and each ends its
own ranks.
"""

import json
import os
import signal
import sys
import time
from typing import Any

from launch.node import own_run
from launch.node.hang import processes, stacks, suspects
from launch.node.hang.signs import Watched
from launch.record.failures import hang
from launch.record.files import Unreadable, size_of
from launch.record.rundir import RunDir
from launch.record.writing import publish_json

_KILL_WAIT_S = 3.0  # pause between SIGTERM and SIGKILL
_VERDICT_S = 30.0  # longest wait for the stacks of all nodes, and for the verdict on which rank is behind
_MOST_S, _LOOKS = 15.0, 8  # most seconds between two looks, and least number of looks within the timeout


class Watcher:
    """The watcher of the ranks of a node."""

    def __init__(self, run: RunDir, node: int, attempt: int, timeout_s: float, here: list[dict[str, Any]]) -> None:
        self.run, self.node, self.attempt, self.timeout_s = run, node, attempt, timeout_s
        self.nodes = run.record()["nodes"]
        self.host = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
        self.period_s = min(_MOST_S, timeout_s / _LOOKS)
        self.ranks = [Watched(run, each["rank"], each["pid"]) for each in here]
        self.order = run.hang_json(attempt)
        self._looked, self._looks = time.monotonic(), 0
        self._clock = 0.0  # seconds for which this watcher was at work
        self._printed = size_of(self.run.node_log(self.node))
        self._others: dict[int, tuple[dict[str, Any], float]] = {}  # reports, and since when they have not changed
        self._warned = node > 0

    def watch(self) -> None:
        """Watch until no rank is left."""
        while self._look() and not own_run.is_replaced(self.run):
            self._report()
            if not self.order.exists() and self._decides() and (idle_s := self._hangs()) is not None:
                hang.order(self.order, self.node, idle_s)
            if self.order.exists():
                self._end()
                return
            deadline = self._looked + self.period_s
            while time.monotonic() < deadline and any(rank.lives() for rank in self.ranks):
                time.sleep(min(0.25, self.period_s / 4))
        if not own_run.is_replaced(self.run):
            self._report()

    def _look(self) -> bool:
        """Look at all ranks; return whether any is alive."""
        now, size = time.monotonic(), size_of(self.run.node_log(self.node))
        elapsed_s, self._looked = now - self._looked, now
        printed, self._printed = size > self._printed and hang.says_more(self.run, self.node, self._printed), size
        trees = processes.trees([rank.pid for rank in self.ranks])
        # A watcher that was stopped meanwhile, as a whole job can be, has not seen that nothing happened.
        counted_s = min(elapsed_s, 2 * self.period_s)
        self._clock += counted_s
        for rank in self.ranks:
            before_s = rank.idle_s
            rank.look(trees[rank.pid], elapsed_s, counted_s, printed)
            if rank.idle_s < before_s and before_s > self.timeout_s / 2 and not self._warned:
                self._warned = True
                hang.warn(self.run, self.node, rank.rank, before_s, self.timeout_s)
        return any(rank.alive for rank in self.ranks)

    def _report(self, **more: Any) -> None:
        self._looks += 1
        report = {"looks": self._looks, "host": self.host, "ranks": [rank.facts() for rank in self.ranks], **more}
        path = self.run.watched(self.attempt, self.node)
        hidden = path.with_name(f".{path.name}")
        try:
            hidden.write_text(json.dumps(report))
            os.replace(hidden, path)
        except OSError:  # a full disk, or the run is gone: to the others this node is silent
            pass

    def _read(self, node: int) -> tuple[dict[str, Any], float]:
        """Return the report of a node (empty before its first), and for how many seconds of our clock it has not
        changed."""
        before, since = self._others.get(node, ({}, 0.0))
        report = hang.report(self.run.watched(self.attempt, node)) or before
        since = since if report.get("looks") == before.get("looks") else self._clock
        self._others[node] = report, since
        return report, self._clock - since

    def _decides(self) -> bool:
        """Return whether no watcher of an earlier node is present: it may have ended together with its ranks."""
        for node in range(self.node):
            report, since_s = self._read(node)
            ended = report and not any(rank["alive"] for rank in report["ranks"])
            if not ended and since_s < max(self.timeout_s, 4 * self.period_s):
                return False
        return True

    def _hangs(self) -> float | None:
        """Return for how long no rank of the run has shown a sign of life, if that is too long; otherwise None."""
        ranks = []
        for node in range(self.nodes):
            report, since_s = self._read(node)
            if not report and since_s < self.timeout_s:
                return None  # that node has yet to begin
            ranks += [{**rank, "idle_s": rank["idle_s"] + since_s} for rank in report.get("ranks", ()) if rank["alive"]]
        idle_s = min((rank["idle_s"] for rank in suspects.judged(ranks)), default=0.0)
        return idle_s if idle_s >= self.timeout_s else None

    def _end(self) -> None:
        """Keep the stacks, have the verdict written, and end all ranks of the node."""
        stacks.keep(self.run, self.attempt, self.node, self.host, [rank for rank in self.ranks if rank.alive])
        self._report(kept=True)
        deadline = time.monotonic() + self.period_s + _VERDICT_S
        decides = hang.ordered_by(self.order) == self.node
        while decides and time.monotonic() < deadline and not self._all_kept():
            time.sleep(0.2)
        if decides:
            every = {node: self._read(node)[0] for node in range(self.nodes)}
            publish_json(self.order, suspects.verdict(self.run, self.attempt, self.timeout_s, every))
        while time.monotonic() < deadline + _VERDICT_S and not (hang.verdict(self.run, self.attempt) or {}).get("said"):
            time.sleep(0.2)
        for number, wait_s in ((signal.SIGTERM, _KILL_WAIT_S), (signal.SIGKILL, 0.0)):
            for rank in self.ranks:
                rank.send(number)
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline and any(rank.lives() for rank in self.ranks):
                time.sleep(0.1)

    def _all_kept(self) -> bool:
        """Return whether every watcher that is present has kept the stacks of its ranks."""
        for node in range(self.nodes):
            report, since_s = self._read(node)
            alive = any(rank["alive"] for rank in report.get("ranks", ()))
            if alive and not report.get("kept") and since_s < self.timeout_s:
                return False
        return True


def main(argv: list[str]) -> int:
    """Watch until the ranks of the node have ended."""
    folder, node, attempt, timeout_s, here = argv
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # if the job is being ended, its ranks may be saving, or hang
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        run = RunDir.open(folder)
        own_run.begun(run)
        Watcher(run, int(node), int(attempt), float(timeout_s), json.loads(here)).watch()
    except Unreadable as error:
        print(f"launch: the ranks of node {node} are no longer watched: {error}", file=sys.stderr)
        return 1
    return 0
