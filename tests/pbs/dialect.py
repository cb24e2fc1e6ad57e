"""PBS as OpenPBS 23.06 behaves, for tests: qsub, qstat, qdel, qsig, qselect, qalter, pbs_tmrsh and pbsdsh.

python dialect.py SOCKET HOME BIN
"""

import getopt
import getpass
import json
import os
import re
import signal
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from schedulers.engine import ANSWER, CORES, GPUS, HOSTS, Engine, Job

QUEUES = {"workq": {}, "debug": {"walltime": "00:10:00", "nodect": 2}, "closed": {}, "low": {}, "wide": {}}
LEAST = {"wide": 3}
"""Fewest nodes of a job."""
DEFAULT_PATH = "/bin:/usr/bin"
_USAGE = "usage: qsub [-a date_time] [-A account_string] ...\n" + "\n".join("\t[...]" for _ in range(7))


class Pbs(Engine):
    """The server of a cluster."""

    def __init__(self, home: str, folder: str, link: str) -> None:
        super().__init__(grace_s=1.5)
        self.home, self.folder, self.link = home, folder, link
        self.history, self.largest = True, 10_000

    def launch(self, job: Job) -> tuple[list[str], dict[str, str], str]:
        nodefile = os.path.join(self.home, f"nodefile.{job.id}")
        with open(nodefile, "w") as file:
            file.write("".join(f"{host}\n" * job.more["slots"] for host in job.hosts))
        return job.words, self.environment(job, 0) | {"PBS_NODEFILE": nodefile}, self.home

    def environment(self, job: Job, node: int) -> dict[str, str]:
        """Of a process of a job: nothing of what qsub was called with."""
        found = {
            "HOME": self.home, "PATH": DEFAULT_PATH, "PBS_JOBID": job.id, "PBS_JOBNAME": job.name, "PBS_NODENUM": str(node), "PBS_TASKNUM": "1",
            "PBS_ENVIRONMENT": "PBS_BATCH", "PBS_JOBCOOKIE": "0" * 32, "PBS_QUEUE": job.more["queue"], "NCPUS": str(job.cores),
            "OMP_NUM_THREADS": str(job.more["threads"]), "TMPDIR": "/tmp", "STAND_IN": self.link, "PBS_O_WORKDIR": job.cwd,
        }  # fmt: skip
        if "index" in job.more:
            found |= {"PBS_ARRAY_INDEX": str(job.more["index"]), "PBS_ARRAY_ID": job.array}
        return found


def full(id: str) -> str:
    """The full form of an id."""
    return id if "." in id else f"{id}.head"


def answer(pbs: Pbs, asked: dict[str, Any]) -> ANSWER:
    """The answer to a command."""
    name, *words = asked["words"]
    if name in ("pbs_tmrsh", "pbsdsh"):
        return _task(pbs, name, words, asked)
    with pbs.lock:
        return {
            "pbsnodes": _pbsnodes,
            "qsub": _qsub,
            "qstat": _qstat,
            "qdel": _qdel,
            "qsig": _qsig,
            "qselect": _qselect,
        }[name](pbs, words, asked)


def _qsub(pbs: Pbs, words: list[str], asked: dict[str, Any]) -> ANSWER:
    def usage(option: str) -> ANSWER:
        return 2, "", f"qsub: illegal -{option} value\n{_USAGE}\n"

    try:
        pairs, rest = getopt.getopt(words, "N:A:P:q:l:J:k:j:r:o:e:W:v:p:m:a:S:C:hfzV")
    except getopt.GetoptError as error:
        return 2, "", f"qsub: invalid option -- '{error.opt}'\n{_USAGE}\n"
    if "--" not in words or not rest:
        return 1, "", "qsub: the stand-in takes only programs\n"
    said = dict(pairs)
    name = said.get("-N", "STDIN")
    if not re.fullmatch(r"[A-Za-z0-9_.+-]+", name):
        return usage("N")
    if len(name) > 230:
        return 2, "", "qsub: Job name is too long \n"
    limits = dict(value.partition("=")[::2] for option, value in pairs if option == "-l")
    nodes, *resources = limits.pop("select", "1").split(":")
    chunk = dict(each.partition("=")[::2] for each in resources)
    if not nodes.isdigit() or int(nodes) < 1:
        return 166, "", "qsub: Illegal attribute or resource value Resource_List.select\n"
    if unknown := next(
        (each for each in chunk if each not in ("ncpus", "mpiprocs", "ompthreads", "ngpus", "mem", "system")), None
    ):
        return 187, "", f"qsub: Unknown resource: {unknown}\n"
    if unknown := next((each for each in limits if each not in ("walltime", "place", "filesystems")), None):
        return 187, "", f"qsub: Unknown resource Resource_List.{unknown}\n"
    if "walltime" in limits and not re.fullmatch(r"\d+(:\d+){0,2}", limits["walltime"]):
        return 166, "", "qsub: Illegal attribute or resource value Resource_List.walltime\n"
    queue = said.get("-q", "workq")
    if queue not in QUEUES:
        return 170, "", "qsub: Unknown queue\n"
    if queue == "closed":
        return 173, "", "qsub: Queue is not enabled\n"
    limit = _seconds(limits["walltime"]) if "walltime" in limits else None
    most = QUEUES[queue]
    if (
        int(nodes) < LEAST.get(queue, 1)
        or most
        and (limit and limit > _seconds(most["walltime"]) or int(nodes) > most["nodect"])
    ):
        return 188, "", "qsub: Job violates queue and/or server resource limits\n"
    after: list[str] = []
    behind: list[str] = []
    for option, value in pairs:
        if option == "-W":
            if not value.startswith("depend="):
                return 154, "", "qsub: Error (15002) submitting job\n"
            for depend in value.removeprefix("depend=").split(","):
                kind, _, ids = depend.partition(":")
                if kind not in ("afterok", "afterany") or not ids:
                    return usage("W")
                (after if kind == "afterok" else behind).extend(map(full, ids.split(":")))
    tasks, throttle = [None], None
    if "-J" in said:
        match = re.fullmatch(r"(\d+)-(\d+)(?:%(\d+))?", said["-J"])
        if match is None or int(match[1]) >= int(match[2]):
            return usage("J")
        tasks = list(range(int(match[1]), int(match[2]) + 1))
        throttle = int(match[3]) if match[3] else None
        if said.get("-r") == "n":
            return 1, "", "qsub: cannot submit non-rerunable Array Job\n"
        if len(tasks) > pbs.largest:
            return 3, "", "qsub: Array job exceeds server or queue size limit\n"
    number = pbs.next_id()
    array = f"{number}[].head" if "-J" in said else ""
    for task in tasks:
        id = f"{number}.head" if task is None else f"{number}[{task}].head"
        pbs.jobs[id] = Job(
            id=id, name=name, words=rest, env={}, cwd=asked["cwd"], nodes=int(nodes), cores=int(chunk.get("ncpus", 1)), limit_s=limit, after=after,
            out=(said.get("-o") or f"{name}.o{number}").replace("^array_index^", str(task)),
            array=array, rerunnable=said.get("-r", "y") == "y", held="-h" in said,
            more={
                "slots": int(chunk.get("mpiprocs", 1)), "queue": queue, "walltime": _clock(limit) if limit is not None else None, "gpus": int(chunk.get("ngpus", 0)),
                "threads": chunk.get("ompthreads") or chunk.get("ncpus") or "1", "account": said.get("-A"), "arguments": " ".join(words),
                "behind": behind, **({"index": task, "throttle": throttle} if task is not None else {}),
            },
        )  # fmt: skip
    return 0, f"{array or id}\n", ""


def _clock(seconds: float) -> str:
    """As PBS shows a walltime, whatever it was given as."""
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _seconds(text: str) -> int:
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part)
    return total


def _show(pbs: Pbs, job: Job) -> dict[str, Any]:
    alive = [each for each in pbs.jobs.values() if each.state != "ended"]
    letter = {"waiting": "Q", "running": "R", "ending": "R", "ended": "F"}[job.state]
    substate: int = {"Q": 10, "R": 42, "F": 92}[letter]
    if letter == "F" and job.array and any(each.array == job.array for each in alive):
        letter = "X"
    found: dict[str, Any] = {
        "Job_Name": job.name, "Job_Owner": f"{getpass.getuser()}@head", "queue": job.more["queue"], "server": "head", "ctime": time.strftime("%a %b %d %H:%M:%S %Y"),
        "Hold_Types": "n", "Rerunable": str(job.rerunnable), "run_count": job.runs, "Submit_arguments": job.more["arguments"],
        "Resource_List": {"nodect": job.nodes, "ncpus": job.nodes * job.cores} | ({"walltime": job.more["walltime"]} if job.more["walltime"] else {}),
        "Variable_List": {"PBS_O_WORKDIR": job.cwd, "N": 7},
    }  # fmt: skip
    if job.after:
        found["depend"] = "afterok:" + ":".join(f"{id}@head" for id in job.after)
    waits_for = [parent for id in job.after for parent in pbs.of(id) if not parent.ok]
    if job.state == "waiting" and (job.held or waits_for):
        letter, substate, found["Hold_Types"] = "H", 22 if waits_for else 20, "s" if waits_for else "u"
    elif job.state == "waiting":
        short = job.nodes * job.cores > len(HOSTS) * 8 or job.nodes > len(HOSTS)
        found["comment"] = (
            "Can Never Run" if short else "Not Running"
        ) + ": Insufficient amount of resource: ncpus (R: 16 A: 14 T: 16)"
    elif job.why == "dependency":
        substate, found["Hold_Types"] = 92, "s"
    else:
        if job.hosts:
            found["exec_host"] = "+".join(f"{host}/0*{job.cores}" for host in job.hosts)
            gpus = f":ngpus={job.more['gpus']}" if job.more["gpus"] else ""
            found["exec_vnode"] = "+".join(f"({host}:ncpus={job.cores}{gpus})" for host in job.hosts)
        found["comment"] = "Job run at Fri Nov 27 at 03:22"
        if job.began:
            found["stime"] = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(job.began))
        if job.why == "requeue":
            substate = 60
        if letter in "FX":
            if job.code is not None:
                found["Exit_status"] = 256 - job.code if job.code < 0 else job.code
            substate = 91 if job.why == "deleted" else 92 if job.code == 0 else 93
            found |= {"limit": {"Exit_status": -29}, "host": {"Exit_status": -20}}.get(job.why, {})
            found["history_timestamp"] = int(job.ended)
    return found | {"job_state": letter, "substate": substate}


def _parent(pbs: Pbs, id: str) -> dict[str, Any]:
    tasks = pbs.of(id)
    over = all(task.state == "ended" for task in tasks)
    begun = any(task.state != "waiting" for task in tasks)
    shown = _show(pbs, tasks[0]) | {"job_state": "F" if over else "B" if begun else "Q", "array": "True"}
    shown.pop("exec_host", None)
    if shown["job_state"] == "B":
        return shown | {"substate": 70, "comment": "Job Array Began at Fri Nov 27 at 02:44"}
    if over:
        deleted, good = all(task.why == "deleted" for task in tasks), all(task.ok for task in tasks)
        return shown | {"substate": 91 if deleted else 92 if good else 93, "Exit_status": 0 if good else 1}
    return shown


def _pbsnodes(pbs: Pbs, words: list[str], asked: dict[str, Any]) -> ANSWER:
    """In the form that users of PBS have published; it was not observed for this stand-in."""
    nodes = {
        host: {"Mom": host, "ntype": "PBS", "state": "free", "pcpus": CORES, "resources_available": {"arch": "linux", "host": host, "ncpus": CORES, "ngpus": GPUS}}
        for host in HOSTS
    }  # fmt: skip
    named = [word for word in words if word in HOSTS]
    nodes = {
        host: node | ({"state": "down"} if host in pbs.lost else {})
        for host, node in nodes.items()
        if host in (named or HOSTS)
    }
    return (
        0,
        json.dumps({"timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": "head", "nodes": nodes}),
        "",
    )


def _qstat(pbs: Pbs, words: list[str], asked: dict[str, Any]) -> ANSWER:
    options = {letter for word in words if re.fullmatch(r"-[xtfBQ]+", word) for letter in word[1:]}
    head = {"timestamp": int(time.time()), "pbs_version": "23.06.06", "pbs_server": "head"}
    if "B" in options:
        return (
            0,
            json.dumps(
                {
                    **head,
                    "Server": {
                        "head": {"server_state": "Active", "default_queue": "workq", "max_array_size": pbs.largest}
                    },
                }
            ),
            "",
        )
    if "Q" in options:
        queues = {
            name: {
                "queue_type": "Execution",
                "enabled": str(name != "closed"),
                "started": "True",
                **({"resources_max": most} if most else {}),
                **({"resources_min": {"nodect": LEAST[name]}} if name in LEAST else {}),
            }
            for name, most in QUEUES.items()
        }
        return 0, json.dumps({**head, "Queue": queues}), ""
    if "x" in options and not pbs.history:
        return 0, json.dumps(head), "PBS is not configured to maintain job history\n"
    found, code, said = {}, 0, ""
    for id in (full(word) for word in words if re.match(r"\d", word)):
        jobs = pbs.of(re.sub(r"\[\d*\]", "[]", id)) if "[]" in id else pbs.of(id)
        if not jobs:
            code, said = 153, f"{said}qstat: Unknown Job Id {id}\n"
            continue
        over = all(job.state == "ended" for job in jobs)
        if over and "x" not in options:
            what = f"{id} Job has finished, use -x or -H to obtain historical job information"
            code, said = (35, f"{said}qstat: {what}\n") if pbs.history else (153, f"{said}qstat: Unknown Job Id {id}\n")
            continue
        if "[]" in id:
            found[id] = _parent(pbs, id)
        if "[]" not in id or "t" in options:
            found |= {job.id: _show(pbs, job) for job in jobs}
    return code, json.dumps({**head, **({"Jobs": found} if found else {})}), said


def _qdel(pbs: Pbs, words: list[str], asked: dict[str, Any]) -> ANSWER:
    code, said = 0, ""
    for id in (full(word) for word in words if re.match(r"\d", word)):
        jobs = pbs.of(id)
        alive = [job for job in jobs if job.state != "ended"]
        if not alive:
            code = 35 if jobs and pbs.history else 153
            said += f"qdel: {'Job has finished' if code == 35 else 'Unknown Job Id'} {id}\n"
        for job in alive:
            pbs.end(job, "deleted")
    return code, "", said


def _qsig(pbs: Pbs, words: list[str], asked: dict[str, Any]) -> ANSWER:
    pairs, ids = getopt.getopt(words, "s:")
    name = dict(pairs).get("-s", "TERM").removeprefix("SIG")
    number = getattr(signal, f"SIG{name}", None)
    if number is None:
        return 165, "", "qsig: Unknown/illegal signal name\n"
    for id in map(full, ids):
        for job in pbs.of(id):
            if job.state == "ended":
                return 35, "", f"qsig: Job has finished {id}\n"
            if job.state == "running":
                pbs.signal(job, number)
    return 0, "", ""


def _qselect(pbs: Pbs, words: list[str], asked: dict[str, Any]) -> ANSWER:
    said = "" if pbs.history or "-x" not in words else "PBS is not configured to maintain job history\n"
    pairs, _ = getopt.getopt([word for word in words if word != "-x"], "N:A:P:u:s:")
    name = dict(pairs)["-N"]
    jobs = [
        job for job in pbs.jobs.values() if job.name == name and (job.state != "ended" or "-x" in words and pbs.history)
    ]
    return 0, "".join(f"{id}\n" for id in dict.fromkeys(job.array or job.id for job in jobs)) * (not said), said


def _task(pbs: Pbs, name: str, words: list[str], asked: dict[str, Any]) -> ANSWER:
    with pbs.lock:
        job = pbs.jobs[asked["env"]["PBS_JOBID"]]
        if name == "pbs_tmrsh":
            host, *words = words
        else:
            slot = int(words[words.index("-n") + 1])
            host, words = (
                [each for each in job.hosts for _ in range(job.more["slots"])][slot],
                words[words.index("--") + 1 :],
            )
        if host not in job.hosts:
            return 255, "", f'pbs_tmrsh: host "{host}" is not a node in job <{job.id}>\n'
        environment = pbs.environment(job, job.hosts.index(host))
        try:
            process = pbs.start_task(job, host, words, environment, pbs.home, job.out)
        except OSError as error:
            return 254, "", f"pbs_tmrsh: {error}\n"
    code = process.wait()
    while host in pbs.lost and job.state == "running":  # of a lost host nobody hears anything
        time.sleep(0.05)
    if name == "pbsdsh":
        return 0, "", f"pbsdsh: task 0x00000002 exit status {256 - code if code < 0 else code}\n" if code else ""
    return (-code if code < 0 else code), "", ""


assert GPUS
if __name__ == "__main__":
    path, home, folder = sys.argv[1:]
    Pbs(home, folder, path).serve(path, answer)
