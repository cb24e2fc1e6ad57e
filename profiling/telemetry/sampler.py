"""Readings of a node, for as long as its ranks live:   profiling.telemetry.sampler RUN NODE ATTEMPT HZ RANKS

``launch.node.sampling`` starts it beside the node's first rank. It imports no NumPy and, before the end, no DuckDB,
because it shares the node with the ranks. Its cost is part of its own readings (sampler_cpu_ms, sampling_us).
"""

import contextlib
import faulthandler
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from launch import gpus, own_command
from launch.node import own_run
from launch.record.rundir import RunDir
from launch.record.writing import append_line
from profiling.telemetry import readings
from profiling.telemetry.clock import Clock
from profiling.telemetry.host import Host, Process
from profiling.telemetry.reading_lines import ReadingWriter
from profiling.telemetry.watchdog import Watchdog

_LOOK_S = 0.05  # s between looks at the other ranks, once the first has ended
_OPEN_S, _READ_S = 60.0, 5.0  # s after which a driver counts as one that does not answer; some take long to start


class Node:
    """A node with its ranks and their GPUs.

    Parameters
    ----------
    ranks : list of dict
        A dict per rank, with ``rank``, ``pid`` and ``gpus`` (UUIDs).
    common : dict
        Values that are part of every reading.
    """

    def __init__(self, ranks: list[dict[str, Any]], common: dict[str, int]) -> None:
        self._common, self._clock = common, Clock()
        self._host = Host()
        self._processes = {rank["rank"]: Process(rank["pid"]) for rank in ranks}
        # Two ranks may share a GPU, which is read once. The first GPU of a rank is in the rank's row, the others have
        # rows of their own.
        holders: dict[str, int] = {}
        firsts: dict[str, int] = {}
        for rank in ranks:
            for gpu in rank["gpus"]:
                holders.setdefault(gpu, rank["rank"])
            for gpu in rank["gpus"][:1]:
                firsts.setdefault(gpu, rank["rank"])
        cards, self.missing = _open(list(holders))
        self._cards = [(firsts.get(card.device), holders.get(card.device), card) for card in cards]
        self._codes: dict[tuple[str, str], int] = {}
        self.asked = ""  # the card that is being read

    def alive(self, first_is_over: bool) -> bool:
        """Return whether any rank is alive; the first may have said that its program is over."""
        others = list(self._processes.values())[first_is_over:]
        return any(process.alive() for process in others)

    def about(self) -> dict[str, Any]:
        """Return what is read here, and what cannot be read."""
        cards = [{"device": card.device, "name": card.name, "rank": holder} for _, holder, card in self._cards]
        return {"gpus": cards, "missing": self.missing, "host_lacks": self._host.lacks, "cores": os.cpu_count()}

    def read(self) -> list[dict[str, Any]]:
        """Return all readings of one moment."""
        began, now = time.perf_counter(), {**self._clock.read(), **self._common}
        told = {card.device: self._read(card) for *_, card in self._cards}
        cards = {rank: told[card.device] for rank, _, card in self._cards if rank is not None}
        rows = [
            {**now, "rank": rank, **cards.get(rank, {}), **process.read()} for rank, process in self._processes.items()
        ]
        rows += [{**now, **told[card.device]} for rank, _, card in self._cards if rank is None]
        host = {**now, **self._host.read(), "sampler_cpu_ms": round(time.process_time() * 1000)}
        return [*rows, {**host, "sampling_us": round((time.perf_counter() - began) * 1e6)}]

    def _read(self, card: Any) -> dict[str, Any]:
        self.asked = card.device
        return {"device": card.device, **card.read()}

    def news(self) -> list[dict[str, Any]]:
        """Return the cards' return codes that differ from those of the previous reading."""
        codes = {(card.device, name): code for *_, card in self._cards for name, code in card.codes.items()}
        texts = {card.device: card.error_text for *_, card in self._cards}
        changed = {
            key: codes.get(key, 0)
            for key in codes.keys() | self._codes.keys()
            if codes.get(key) != self._codes.get(key)
        }
        self._codes = codes
        return [
            {"device": device, "field": name, "code": code, "error": texts[device](code)}
            for (device, name), code in sorted(changed.items())
        ]


def _open(devices: list[str]) -> tuple[list[Any], dict[str, str]]:
    """Open the ranks' cards with the driver that knows them, NVIDIA's or AMD's; return also why one cannot be read."""
    cards: list[Any] = []
    reasons: dict[str, list[str]] = {}
    for vendor in ("nvml", "amd"):
        left = [device for device in devices if device not in {card.device for card in cards}]
        if not left:
            break
        try:
            found, missing = importlib.import_module(f"profiling.telemetry.{vendor}").open_cards(left)
        except Exception as error:  # bindings that are absent, or of another release
            found, missing = [], dict.fromkeys(left, gpus.reason(error))
        cards += found
        for device, why in missing.items():
            reasons.setdefault(device, []).append(why)
    known = {card.device for card in cards}
    return cards, {device: "; ".join(why) for device, why in reasons.items() if device not in known}


def main(argv: list[str]) -> int:
    """Read until the ranks have ended, then put the readings in order."""
    faulthandler.enable()  # a driver that crashes takes the sampler with it: errors.log then says where
    run, number, attempt, hz = RunDir(argv[0]), int(argv[1]), int(argv[2]), float(argv[3])
    # Signals that end the ranks do not end the sampler: it continues while they save, and ends after them.
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(asked, signal.SIG_IGN)
    # It was started on the first rank's cores, and may use any idle core. Their numbers may have gaps.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))
    own_run.begun(run)
    notes, path = run.reading_notes(number), run.node_readings(number, attempt)
    common = {"attempt": attempt, "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname()}
    ranks = json.loads(argv[4])
    watchdog = _watchdog(argv, ranks, notes, common)
    with watchdog.watching(lambda: "", _OPEN_S):
        node = Node(ranks, {"node": number, "attempt": attempt})
    append_line(notes, {"event": "began", "time": round(time.time(), 3), **common, "hz": hz, **node.about()})
    count = _read(node, hz, path, notes, watchdog)
    with contextlib.suppress(BrokenPipeError):
        os.write(1, b".")  # to the first rank, if it waits: all have ended
    if own_run.is_replaced(run):
        return 0
    times = os.times()
    append_line(
        notes,
        {
            "event": "ended",
            "time": round(time.time(), 3),
            **common,
            "readings": count,
            "cpu_s": round(times.user + times.system, 3),
        },
    )
    # A kill may have left lines of earlier attempts.
    for lines in [path, *_left_over(run, number, attempt)]:
        readings.compact(lines)
    return 0


def _watchdog(argv: list[str], ranks: list[dict[str, Any]], notes: Path, common: dict[str, Any]) -> Watchdog:
    """Return a watchdog that notes a driver that does not answer, and puts a sampler without GPUs in this one's place.

    The thread that waits would not end, whatever is done, and the driver answers no other call before this one.
    """
    processes = [Process(rank["pid"]) for rank in ranks]

    def over() -> bool:
        return not any(process.alive() for process in processes)

    def act(device: str) -> None:
        append_line(notes, {"event": "hangs", "time": round(time.time(), 3), **common, "device": device})
        if not over():
            without = json.dumps([{**rank, "gpus": []} for rank in ranks])
            subprocess.Popen(own_command(sys.executable, __name__, *argv[:4], without), start_new_session=True)
        os._exit(1)

    return Watchdog(over, act)


def _read(node: Node, hz: float, path: Path, notes: Path, watchdog: Watchdog) -> int:
    """Read until no rank is left; return the number of readings."""
    count, due, first_is_over = 0, 0.0, False
    with ReadingWriter(path) as writer:
        while True:
            ended = not node.alive(first_is_over)
            if time.monotonic() >= due or ended:
                with watchdog.watching(lambda: node.asked, _READ_S):
                    rows = node.read()
                writer.write(rows)
                for line in node.news():
                    append_line(notes, {"event": "code", "time": round(time.time(), 3), **line})
                count, due = count + 1, time.monotonic() + _pause(time.time(), 1 / hz)
            if ended:
                return count
            wait = max(0.0, due - time.monotonic())
            if first_is_over:
                time.sleep(min(_LOOK_S, wait))
            else:
                first_is_over = bool(select.select([0], [], [], wait)[0])


def _pause(now: float, interval: float) -> float:
    """Return the seconds until the next reading.

    All nodes read at the same moments, so that all ranks are disturbed at once. If they were disturbed one after the
    other, the rest would wait for each of them (Petrini, Kerbyson & Pakin, SC03).
    """
    pause = interval - now % interval
    return pause if pause > interval / 2 else pause + interval


def _left_over(run: RunDir, node: int, attempt: int) -> list[Path]:
    earlier = (run.node_readings(node, before) for before in range(1, attempt))
    return [path for path in earlier if path.exists() and not path.with_suffix(".parquet").exists()]
