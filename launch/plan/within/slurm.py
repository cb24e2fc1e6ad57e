"""The Slurm job in which this process runs, as scontrol describes it."""

import datetime
import os
import re
from collections.abc import Mapping

from launch.plan import hostlist
from launch.plan.within.allocation import Allocation, Found, asked, silent


def number(environ: Mapping[str, str]) -> str:
    """Return the id of this job; empty outside of one."""
    found = environ.get("SLURM_JOB_ID", "")
    return found if found.isdigit() else ""


def here(environ: Mapping[str, str], gpu_resource: str = "") -> Found:
    """Return the job that the environment names; see `launch.plan.within.allocation.here`."""
    if not (id := number(environ)):
        return Found()
    # --details: what it has on each node.
    answer = asked(["scontrol", "--oneliner", "--details", "show", "job", id], environ)
    if answer is None:  # no Slurm here
        return Found()
    if answer.returncode:
        if "Invalid job id" in answer.stderr:
            return Found(why=f"job {id} of SLURM_JOB_ID has ended")
        raise silent("SLURM_JOB_ID", id, "Slurm", answer.stderr)
    fields = dict(re.findall(r"(?:^| )(JobState|UserId|EndTime|NodeList|NumCPUs)=(\S+)", answer.stdout))
    if fields.get("JobState") != "RUNNING":
        return Found(why=f"job {id} of SLURM_JOB_ID does not run ({fields.get('JobState', 'UNKNOWN').lower()})")
    if not fields.get("UserId", "").endswith(f"({os.getuid()})"):
        return Found(why=f"job {id} of SLURM_JOB_ID is {fields.get('UserId')}'s")
    return Found(_read(id, fields, answer.stdout, "SLURM_STEP_ID" in environ))


_NODES = r" Nodes=\S+ CPU_IDs=(\S*) Mem=\S* GRES=(\S*)"  # line about nodes with equal resources


def _read(id: str, fields: Mapping[str, str], said: str, in_step: bool) -> Allocation:
    nodes, end = tuple(hostlist.expand(fields["NodeList"])), fields.get("EndTime", "")
    groups = re.findall(_NODES, said)
    kinds = [re.findall(r"gpu(?::([A-Za-z][^:(,]*))?:(\d+)", gres) for _, gres in groups]
    equal = int(fields.get("NumCPUs", 1)) // len(nodes)  # if Slurm gives no details
    return Allocation(
        id=id,
        nodes=nodes,
        cpus=min((len(hostlist.expand(f"[{ids}]")) for ids, _ in groups), default=max(1, equal)),
        gpus=min((sum(int(count) for _, count in counts) for counts in kinds), default=0),
        end=datetime.datetime.fromisoformat(end).timestamp() if re.match(r"\d{4}-", end) else None,
        in_step=in_step,
    )
