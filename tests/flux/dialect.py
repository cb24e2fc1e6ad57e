"""Flux as flux-core 0.88 behaves, for tests: flux batch, run, jobs, cancel, job kill, job id and hostlist.

python dialect.py SOCKET HOME BIN
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from schedulers.engine import ANSWER, CORES, GPUS, HOSTS, Engine, Job

QUEUES = {"batch": {}, "debug": {"duration": 600.0, "nodes": 2}}
INNER = "local:///tmp/flux-inner/"


class Refused(Exception):
    """What a command says before it ends with a status."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class Flux(Engine):
    """An instance."""

    everywhere = True

    def __init__(self, home: str, folder: str, link: str) -> None:
        super().__init__(grace_s=1.5)
        self.home, self.folder, self.link, self.lag_s = home, folder, link, 0.0
        self.inner: dict[str, dict[str, list[subprocess.Popen]]] = {}  # by outer and inner id

    def step(self) -> None:
        for job in self.jobs.values():
            if job.state == "waiting" and (job.nodes > len(HOSTS) or job.cores > CORES or job.more["gpus"] > GPUS):
                job.state, job.why, job.ended = "ended", "alloc", time.time()
        super().step()

    def lose(self, job: Job, host: str) -> None:
        super().lose(job, host)
        self.end(job, "host")  # whichever of its hosts it is

    def launch(self, job: Job) -> tuple[list[str], dict[str, str], str]:
        open(job.out, "wb").close()  # begun anew at each start
        own = {"FLUX_ENCLOSING_ID": f58(job.id), "FLUX_URI": f"{INNER}{job.id}", "STAND_IN": self.link}
        return job.words, job.env | own, job.cwd


def f58(id: str) -> str:
    """The id as Flux prints it."""
    return f"ƒ{int(id):x}"


def dec(id: str) -> str:
    """The id as a decimal number."""
    try:
        return id if id.isdigit() else str(int(id.removeprefix("ƒ"), 16))
    except ValueError:
        raise Refused(1, f'"{id}" is not a valid jobid') from None


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise Refused(2, f"usage: {self.prog} [OPTIONS...]\n{self.prog}: error: {message}")


def _options(prog: str) -> _Words:
    words = _Words(prog=prog, add_help=False, allow_abbrev=False)
    for names in (("-N", "--nodes"), ("-n",), ("-c", "--cores-per-task"), ("-g", "--gpus-per-task")):
        words.add_argument(*names, type=int)
    for names in (
        ("-t", "--time-limit"),
        ("-q", "--queue"),
        ("-B", "--bank"),
        ("--job-name",),
        ("--output",),
        ("--cwd",),
        ("--urgency",),
    ):
        words.add_argument(*names)
    words.add_argument("--dependency", action="append", default=[])
    words.add_argument("-o", action="append", default=[])
    words.add_argument("--requires")
    words.add_argument("--exclusive", action="store_true")
    words.add_argument("words", nargs=argparse.REMAINDER)
    return words


def answer(flux: Flux, asked: dict[str, Any]) -> ANSWER:
    """The answer to a command."""
    words = asked["words"][1:]
    parent = words[:1] == ["--parent"]
    verb, *words = words[parent:]
    uri = asked["env"].get("FLUX_URI", "")
    outer = uri.removeprefix(INNER) if uri.startswith(INNER) and not parent else None
    try:
        if verb == "run":
            return _run(flux, words, asked, str(outer))
        with flux.lock:
            if verb == "batch":
                return _batch(flux, words, asked)
            if verb == "jobs":
                return _jobs(flux, words, outer)
            if verb == "cancel":
                return _cancel(flux, words)
            if verb == "job" and words[0] == "id":
                return 0, f"{dec(words[-1])}\n", ""
            if verb == "job" and words[0] == "info" and words[2:] == ["R"]:
                return _resources(flux, dec(words[1]))
            if verb == "job" and words[0] == "kill":
                return _kill(flux, words[1:], outer)
            if verb in ("resource", "queue") and words[0] == "list":  # as their manuals say; not observed
                lines = {
                    "resource": [f"{len(HOSTS)} {len(HOSTS) * CORES} {len(HOSTS) * GPUS} "],
                    "queue": ["batch* inf inf", "debug 10m 2"],
                }
                return 0, "\n".join(lines[verb]) + "\n", ""
            if verb == "hostlist":
                return 0, ",".join(flux.jobs[str(outer)].hosts) + "\n", ""
        return 1, "", f"flux: `{verb}' is not a flux command\n"
    except Refused as refusal:
        return refusal.code, "", f"{refusal}\n"


def _batch(flux: Flux, words: list[str], asked: dict[str, Any]) -> ANSWER:
    given = _options("flux batch").parse_args(words)
    path, *arguments = given.words
    try:
        lines = open(os.path.join(asked["cwd"], path)).read().splitlines()
    except OSError:
        raise Refused(1, f"flux-batch: ERROR: No such file or directory: '{path}'") from None
    if not lines or not lines[0].startswith("#!"):
        raise Refused(1, f"flux-batch: ERROR: {path} does not appear to start with '#!'")
    said = [word for line in lines if line.startswith("#flux:") for word in shlex.split(line[6:], comments=True)]
    try:
        of_script = _options("flux batch").parse_args(said)
    except Refused as refusal:
        raise Refused(2, f"flux-batch: ERROR: argument parsing failed at {path}\n{refusal}") from None

    def value(name: str) -> Any:
        return getattr(given, name) if getattr(given, name) is not None else getattr(of_script, name)

    nodes, slots = value("nodes"), value("n")
    if nodes is None and slots is None:
        raise Refused(1, "flux-batch: ERROR: Number of slots to allocate must be specified")
    if nodes and slots and nodes > slots:
        raise Refused(1, "flux-batch: ERROR: node count must not be greater than task count")
    queue, limit = value("queue") or "batch", _duration(value("time_limit"))
    if queue not in QUEUES:
        raise Refused(1, f"flux-batch: ERROR: Invalid queue '{queue}' specified")
    most = QUEUES[queue]
    if most and limit and limit > most["duration"]:
        raise Refused(
            1, f"[Errno 22] requested duration ({value('time_limit')}) exceeds policy limit of 10m for queue {queue}"
        )
    if most and nodes and nodes > most["nodes"]:
        raise Refused(1, f"[Errno 22] requested nnodes ({nodes}) exceeds policy limit of 2 for queue {queue}")
    after = []
    for each in given.dependency + of_script.dependency:
        scheme, _, id = each.partition(":")
        if scheme != "afterok":
            raise Refused(1, f'[Errno 22] dependency scheme "{scheme}" not supported')
        parent = flux.jobs.get(dec(id))
        if parent is None:
            raise Refused(1, f"[Errno 22] dependency: afterok: id {id}: job not found")
        if parent.state == "ended" and not parent.ok:
            raise Refused(1, f"[Errno 22] dependency: afterok: job {f58(parent.id)} failed or was canceled")
        after.append(parent.id)
    id = str(1_000_000 + flux.next_id() * 16_777_216)
    copy = os.path.join(flux.home, f"script-{id}")
    with open(copy, "w") as file:
        file.write("\n".join(lines) + "\n")
    os.chmod(copy, 0o700)
    each = -(-slots // nodes) if slots and nodes else 1
    whole = slots is None
    flux.jobs[id] = Job(
        id=id, name=value("job_name") or os.path.basename(path), words=[copy, *arguments], env=asked["env"], cwd=value("cwd") or asked["cwd"],
        out=os.path.join(asked["cwd"], value("output") or f"flux-{f58(id)}.out"), nodes=nodes or 1, cores=CORES if whole else each * (value("cores_per_task") or 1),
        limit_s=limit, after=after, held=value("urgency") == "0", more={"queue": queue, "gpus": each * (value("gpus_per_task") or 0)},
    )  # fmt: skip
    return 0, f"{f58(id)}\n", ""


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    try:
        return (float(text[:-1]) * unit if unit else 60 * float(text)) or None
    except ValueError:
        raise Refused(1, "flux-batch: ERROR: invalid Flux standard duration") from None


def _run(flux: Flux, words: list[str], asked: dict[str, Any], outer: str) -> ANSWER:
    given = _options("flux run").parse_args(words)
    nodes, size = given.nodes or 1, given.n or 1
    each = -(-size // nodes)
    with flux.lock:
        job = flux.jobs[outer]
        if nodes > len(job.hosts):
            return 1, "", f"flux-job: unsatisfiable request: need {nodes} nodes, only {len(job.hosts)} eligible\n"
        inner = flux.inner.setdefault(outer, {})
        hosts = (given.requires or "").removeprefix("host:").split(",") if given.requires else job.hosts
        if not {*hosts} <= {*job.hosts} or nodes > len(hosts):
            return 1, "", "flux-job: unsatisfiable request: unsatisfiable constraint\n"
        id = str(5_000_000 + len(inner))
        out = os.readlink(f"/proc/{asked['pid']}/fd/1")
        own = {"FLUX_JOB_SIZE": str(size), "FLUX_JOB_NNODES": str(nodes), "FLUX_JOB_ID": f58(id)}
        tasks = inner[id] = []
        for rank in range(size):
            more = {
                "FLUX_TASK_RANK": str(rank),
                "FLUX_TASK_LOCAL_ID": str(rank % each),
                "PMI_RANK": str(rank),
                "PMI_SIZE": str(size),
            }
            try:
                tasks.append(
                    flux.start_task(job, hosts[rank // each], given.words, asked["env"] | own | more, asked["cwd"], out)
                )
            except OSError as error:
                return (
                    127,
                    "",
                    f"flux-shell[0]: FATAL: task 0 (host n1): start failed: {given.words[0]}: {error.strerror}\n",
                )
    kill_at, codes = float("inf"), {}
    while len(codes) < size:
        for rank, task in enumerate(tasks):
            if rank not in codes and (code := task.poll()) is not None:
                codes[rank] = 128 - code if code < 0 else code
                if codes[rank] and kill_at == float("inf") and "exit-on-error" in given.o:
                    kill_at = time.time() + flux.grace_s
                    _to_all(tasks, signal.SIGTERM)
        if time.time() > kill_at:
            _to_all(tasks, signal.SIGKILL)
        time.sleep(0.02)
    worst = max(codes.values())
    return worst, "", f"flux-job: task(s) exited with exit code {worst}\n" if worst else ""


def _to_all(tasks: list[subprocess.Popen], number: int) -> None:
    for task in tasks:
        if task.poll() is None:
            os.killpg(task.pid, number)


def _show(flux: Flux, job: Job) -> dict[str, Any]:
    waits = [id for id in job.after if not flux.jobs[id].ok]
    state = {"waiting": "DEPEND" if waits else "SCHED", "running": "RUN", "ending": "RUN", "ended": "INACTIVE"}[
        job.state
    ]
    found: dict[str, Any] = {
        "id": int(job.id), "jobid": f58(job.id), "name": job.name, "state": state, "status": state, "nnodes": job.nodes, "t_submit": job.submitted,
        "urgency": 0 if job.held else 16, "dependencies": [f"after-success={f58(id)}" for id in job.after], "exception": {"occurred": False}, "queue": job.more["queue"],
    }  # fmt: skip
    if job.hosts:
        found["nodelist"] = ",".join(job.hosts)
    notes = {
        "deleted": ("cancel", ""),
        "limit": ("timeout", "resource allocation expired"),
        "host": ("exec", f"node failure on {job.more.get('lost', '?')} (rank 0)"),
        "alloc": ("alloc", f"unsatisfiable request: need {job.nodes} exclusive node(s), only {len(HOSTS)} eligible"),
        "dependency": ("dependency", f"dependency after-success={f58((job.after or ['0'])[0])} can never be satisfied"),
    }
    if job.why in notes and job.state in ("ending", "ended"):
        kind, note = notes[job.why]
        found["exception"] = {"occurred": True, "severity": 0, "type": kind, "note": note}
    if state == "INACTIVE":
        result = {"deleted": "CANCELED", "limit": "TIMEOUT"}.get(job.why, "COMPLETED" if job.ok else "FAILED")
        code = 1 if job.code is None else 128 - job.code if job.code < 0 else job.code
        found |= {
            "result": result,
            "status": result,
            "success": job.ok,
            "returncode": -128 if job.why == "deleted" and not job.began else code,
        }
    return found


def _jobs(flux: Flux, words: list[str], outer: str | None) -> ANSWER:
    every, as_json = "-a" in words, "--json" in words
    name = next((word.partition("=")[2] for word in words if word.startswith("--name=")), None)
    ids = [dec(word) for word in words if word[:1] == "ƒ" or word.isdigit()]
    if outer is not None:
        alive = [id for id, tasks in flux.inner.get(outer, {}).items() if any(task.poll() is None for task in tasks)]
        return 0, "".join(f"{id}\n" for id in alive), ""
    unknown = [id for id in ids if id not in flux.jobs]
    said = "".join(f"flux-jobs: ERROR: JobID {id} unknown\n" for id in unknown)
    jobs = [flux.jobs[id] for id in ids if id in flux.jobs] if ids else list(flux.jobs.values())
    jobs = [job for job in jobs if (ids or every or job.state != "ended") and name in (None, job.name)]
    if not as_json:
        return int(bool(unknown)), "".join(f"{job.id}\n" for job in jobs), said
    shown = [_show(flux, job) for job in jobs]
    one = len(ids) == 1 and len(shown) == 1
    return int(bool(unknown)), json.dumps(shown[0] if one else {"jobs": shown}) if shown or not ids else "", said


def _resources(flux: Flux, id: str) -> ANSWER:
    job = flux.jobs.get(id)
    if job is None or not job.hosts:
        return 1, "", f"flux-job: ERROR: No such file or directory: {id}\n"
    each = {"core": f"0-{job.cores - 1}"} | ({"gpu": f"0-{job.more['gpus'] - 1}"} if job.more["gpus"] else {})
    execution = {
        "R_lite": [{"rank": f"0-{len(job.hosts) - 1}", "children": each}],
        "starttime": job.began,
        "expiration": job.began + job.limit_s if job.limit_s else 0.0,
        "nslots": 1,
        "nodelist": job.hosts,
    }
    return 0, json.dumps({"version": 1, "execution": execution}) + "\n", ""


def _cancel(flux: Flux, words: list[str]) -> ANSWER:
    code, said = 0, ""
    for id in map(dec, words):
        job = flux.jobs.get(id)
        if job is None or job.state == "ended":
            code, said = 1, f"{said}flux-cancel: {f58(id)}: {'unknown job id' if job is None else 'job is inactive'}\n"
        else:
            flux.end(job, "deleted")
    return code, "", said


def _kill(flux: Flux, words: list[str], outer: str | None) -> ANSWER:
    number = getattr(signal, words[words.index("-s") + 1]) if "-s" in words else signal.SIGTERM
    id = dec(words[-1])
    if outer is not None:
        _to_all(flux.inner[outer][id], number)
        return 0, "", ""
    job = flux.jobs.get(id)
    if job is None or job.state != "running":
        return 1, "", f"flux-job: kill {f58(id)}: {'unknown job id' if job is None else 'job is inactive'}\n"
    flux.signal(job, number, everywhere=True)
    return 0, "", ""


if __name__ == "__main__":
    path, home, folder = sys.argv[1:]
    Flux(home, folder, path).serve(path, answer)
