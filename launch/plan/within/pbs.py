"""The PBS job in which this process runs, as qstat describes it."""

import datetime
import getpass
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch.errors import Refusal
from launch.plan.walltime import walltime
from launch.plan.within.allocation import Allocation, Found, asked, silent

_ENDED = r"Job has finished|Unknown Job Id"


def number(environ: Mapping[str, str]) -> str:
    """Return the id of this job, a task of an array as ``13[2].server``; empty outside of one."""
    return environ.get("PBS_JOBID", "")


def here(environ: Mapping[str, str], gpu_resource: str = "ngpus") -> Found:
    """Return the job that the environment names; see `launch.plan.within.allocation.here`."""
    if not (id := number(environ)):
        return Found()
    answer = asked(["qstat", "-f", "-F", "json", id], environ)
    if answer is None:  # no PBS here
        return Found()
    try:
        said = json.loads(answer.stdout, strict=False).get("Jobs", {}).get(id)
    except (ValueError, AttributeError):
        said = None
    if not said:
        if re.search(_ENDED, answer.stderr):
            return Found(why=f"job {id} of PBS_JOBID has ended")
        raise silent("PBS_JOBID", id, "PBS", answer.stderr or "qstat printed what is no JSON")
    if said.get("job_state") != "R":
        return Found(why=f"job {id} of PBS_JOBID does not run (state {said.get('job_state')})")
    owner = str(said.get("Job_Owner", "")).partition("@")[0]
    if owner != getpass.getuser():
        return Found(why=f"job {id} of PBS_JOBID is {owner}'s")
    try:  # qstat may name the hosts differently than pbs_tmrsh and mpiexec expect
        nodes = tuple(dict.fromkeys(Path(environ.get("PBS_NODEFILE", "")).read_text().split()))
    except OSError:
        raise Refusal(
            f"this runs in PBS job {id}, and the file of PBS_NODEFILE is not here: start it from the job's own shell "
            "or script, or give --new-job"
        ) from None
    return Found(_read(id, nodes, said, gpu_resource))


def _read(id: str, nodes: tuple[str, ...], said: Mapping[str, Any], gpu_resource: str) -> Allocation:
    asked_for = said.get("Resource_List") or {}
    by_host: dict[str, dict[str, int]] = {}
    hosts = [part.partition("/")[0] for part in str(said.get("exec_host", "")).split("+")]
    chunks = re.findall(r"\(([^)]*)\)", str(said.get("exec_vnode", "")))
    for host, chunk in zip(hosts, chunks) if len(hosts) == len(chunks) else ():
        of_host = by_host.setdefault(host, {})
        for resource, count in re.findall(r":([^:=+]+)=(\d+)(?=[:+]|$)", chunk):
            of_host[resource] = of_host.get(resource, 0) + int(count)
    # A job that has its nodes to itself has all of their cores, whatever number of cores it asked for.
    alone = "excl" in str(asked_for.get("place", ""))
    limit, began = walltime(asked_for.get("walltime")), said.get("stime")
    return Allocation(
        id=id,
        nodes=nodes,
        cpus=None if alone else min((each.get("ncpus", 1) for each in by_host.values()), default=None),
        gpus=min((each.get(gpu_resource, 0) for each in by_host.values()), default=None) if gpu_resource else None,
        end=datetime.datetime.strptime(str(began), "%a %b %d %H:%M:%S %Y").timestamp() + limit
        if began and limit
        else None,
        scheduler="pbs",
    )
