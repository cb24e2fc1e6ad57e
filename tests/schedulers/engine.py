"""The queue of a stand-in for a scheduler: real processes on hosts that are only names, all on this machine.

A command of the scheduler (`client.py`, under the command's name) passes on its words, environment and directory, and
prints the answer. A dialect (`pbs/dialect.py`, `flux/dialect.py`) gives the answers; this module keeps the jobs.
"""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

HOSTS, CORES, GPUS = [f"n{i}" for i in range(1, 9)], 8, 2
ANSWER = tuple[int, str, str]
"""Exit status, stdout and stderr of a command."""


@dataclasses.dataclass(eq=False)
class Job:
    """A job, or a task of an array."""

    id: str
    name: str
    words: list[str]
    env: dict[str, str]
    cwd: str
    out: str
    nodes: int
    cores: int = 1  # of each node
    limit_s: float | None = None
    after: list[str] = dataclasses.field(default_factory=list)  # ids that must end well
    array: str = ""
    rerunnable: bool = False
    held: bool = False
    more: dict[str, Any] = dataclasses.field(default_factory=dict)  # of the dialect
    state: str = "waiting"  # waiting, running, ending, ended
    why: str = ""  # it ended: "", deleted, limit, dependency, host, requeue
    code: int | None = None  # as subprocess has it
    hosts: list[str] = dataclasses.field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0
    submitted: float = dataclasses.field(default_factory=time.time)
    runs: int = 0
    kill_at: float = float("inf")
    top: subprocess.Popen | None = None
    tasks: list[tuple[str, subprocess.Popen]] = dataclasses.field(default_factory=list)  # host and process

    @property
    def ok(self) -> bool:
        """Whether it has ended well."""
        return self.state == "ended" and not self.why and self.code == 0


class Engine:
    """Jobs in order of their submission.

    Parameters
    ----------
    grace_s : float
        Between the request to end and the kill.
    """

    def __init__(self, grace_s: float) -> None:
        self.jobs: dict[str, Job] = {}
        self.lock = threading.RLock()
        self.grace_s, self.lag_s = grace_s, 0.5
        self.lost: set[str] = set()
        self.number = 0

    def next_id(self) -> int:
        """A number for a job; the first one is 0."""
        self.number += 1
        return self.number - 1

    def free(self) -> dict[str, int]:
        """The cores of each host that no job has."""
        left = {host: CORES for host in HOSTS if host not in self.lost}
        for job in self.jobs.values():
            for host in job.hosts if job.state in ("running", "ending") else ():
                if host in left:
                    left[host] -= job.cores
        return left

    def step(self) -> None:
        """What has happened since the last time."""
        for job in list(self.jobs.values()):
            if job.state in ("running", "ending"):
                self._look(job)
        running = [job.array for job in self.jobs.values() if job.state in ("running", "ending")]
        for job in list(self.jobs.values()):
            if job.state != "waiting" or job.held:
                continue
            parents = [self.of(id) for id in job.after]
            if any(
                parent and all(p.state == "ended" for p in parent) and not all(p.ok for p in parent) or not parent
                for parent in parents
            ):
                job.state, job.why, job.ended = "ended", "dependency", time.time()
                continue
            if not all(p.ok for parent in parents for p in parent):
                continue
            if any(p.state != "ended" for id in job.more.get("behind", ()) for p in self.of(id)):
                continue
            throttle = job.more.get("throttle")
            if throttle and running.count(job.array) >= throttle:
                continue
            fitting = [host for host, cores in self.free().items() if cores >= job.cores]
            if len(fitting) >= job.nodes:
                self._start(job, fitting[: job.nodes])
                running.append(job.array)

    def of(self, id: str) -> list[Job]:
        """A job, or the tasks of an array."""
        return (
            [self.jobs[id]] if id in self.jobs else [job for job in self.jobs.values() if job.array and job.array == id]
        )

    def start_task(
        self, job: Job, host: str, words: Sequence[str], env: dict[str, str], cwd: str, out: str
    ) -> subprocess.Popen:
        """Start a process of a job on a host."""
        with open(out, "ab") as file:
            process = subprocess.Popen(
                words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        job.tasks.append((host, process))
        return process

    def signal(self, job: Job, number: int, everywhere: bool = False) -> None:
        """To the job's processes on its first host, or on all."""
        if job.top is not None:
            _signal_session(job.top.pid, number)
        for host, process in job.tasks:
            if everywhere or host == job.hosts[0]:
                _signal_session(process.pid, number)

    def end(self, job: Job, why: str, kill: bool = False) -> None:
        """Take it out of the queue, or ask its processes to end."""
        if job.state == "waiting":
            job.state, job.why, job.ended = "ended", why, time.time()
        elif job.state == "running":
            job.state, job.why = "ending", why
            job.kill_at = time.time() + (0 if kill else self.grace_s)
            asked = signal.SIGALRM if self.everywhere and why == "limit" else signal.SIGTERM
            self.signal(job, signal.SIGKILL if kill else asked, everywhere=self.everywhere)

    def lose(self, job: Job, host: str) -> None:
        """A host of a job is gone, and what ran there."""
        job.more["lost"] = host
        if job.hosts[0] == host:
            self.end(job, "host", kill=True)
        for there, process in job.tasks:
            if there == host:
                _signal_session(process.pid, signal.SIGKILL)

    everywhere = False
    """Whether the request to end reaches all hosts, and is another signal at the time limit."""

    def _start(self, job: Job, hosts: list[str]) -> None:
        job.hosts, job.began, job.state, job.code, job.why = hosts, time.time(), "running", None, ""
        job.kill_at, job.tasks = float("inf"), []
        job.runs += 1
        words, env, cwd = self.launch(job)
        try:
            with open(job.out, "ab") as file:
                job.top = subprocess.Popen(
                    words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
                )
        except OSError:
            job.state, job.held, job.hosts, job.top = "waiting", True, [], None

    def launch(self, job: Job) -> tuple[list[str], dict[str, str], str]:
        """Words, environment and directory of the job's top process."""
        raise NotImplementedError

    def _look(self, job: Job) -> None:
        assert job.top
        if job.state == "running" and job.limit_s is not None and time.time() > job.began + job.limit_s + self.lag_s:
            self.end(job, "limit")
        if time.time() > job.kill_at:
            self.signal(job, signal.SIGKILL, everywhere=True)
        if job.top.poll() is None:
            return
        for _, process in job.tasks:  # those of other hosts are killed when the first one is done
            _signal_session(process.pid, signal.SIGKILL)
        _signal_session(job.top.pid, signal.SIGKILL)
        job.code, job.ended = job.top.returncode, time.time()
        job.top = None
        if job.why in ("requeue", "host") and job.rerunnable:
            job.state, job.why, job.hosts = "waiting", "", []
        else:
            job.state = "ended"

    def serve(self, path: str, dialect: Any) -> None:
        """Answer commands until this process is killed."""
        engine = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked = json.loads(self.rfile.readline())
                if asked["words"][0] == "control":
                    with engine.lock:
                        answer = (0, json.dumps(control(engine, asked["words"][1:])), "")
                else:
                    answer = dialect(engine, asked)
                try:
                    self.wfile.write((json.dumps(answer) + "\n").encode())
                except OSError:
                    pass  # who asked was killed

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads, request_queue_size = True, 256

        server = Server(path, Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        while True:
            with self.lock:
                self.step()
            time.sleep(0.05)


def control(engine: Engine, words: list[str]) -> Any:
    """What tests ask for, and users cannot: preempt ID, lose HOST, find HOST, reset, jobs, set NAME VALUE."""
    verb, *rest = words
    if verb == "preempt":
        for job in engine.of(rest[0]):
            engine.end(job, "requeue")
    elif verb == "lose":
        engine.lost.add(rest[0])
        for job in engine.jobs.values():
            if job.state == "running" and rest[0] in job.hosts:
                engine.lose(job, rest[0])
    elif verb == "release":
        for job in engine.of(rest[0]):
            job.held = False
    elif verb == "set":
        setattr(engine, rest[0], json.loads(rest[1]))
    elif verb == "reset":
        engine.lost.clear()
        for job in engine.jobs.values():
            engine.end(job, "deleted", kill=True)
    return [[job.id, job.name, job.state, job.why, job.code] for job in engine.jobs.values()]


def _signal_session(leader: int, number: int) -> None:
    """Signal all processes of a session."""
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(entry.parent.name), number)
        except (OSError, IndexError, ValueError):
            continue


def ask(path: str, words: Sequence[str], env: dict[str, str], cwd: str) -> ANSWER:
    """Ask the server, as a command does."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        link.sendall((json.dumps({"words": list(words), "env": env, "cwd": cwd, "pid": os.getpid()}) + "\n").encode())
        with link.makefile() as file:
            return tuple(json.loads(file.readline()))
