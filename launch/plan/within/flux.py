"""The Flux job in which this process runs, as the instance around it describes it. Each job has an instance of its own,
which starts the steps."""

import json
from collections.abc import Mapping

from launch.errors import Refusal
from launch.plan import hostlist
from launch.plan.within.allocation import Allocation, Found, asked, silent


def number(environ: Mapping[str, str]) -> str:
    """Return the id of this job as a decimal number; empty outside of one, as in an instance that is not a job of
    another."""
    id = environ.get("FLUX_ENCLOSING_ID", "")
    if not id or id.isdigit():
        return id
    answer = asked(["flux", "job", "id", "--to=dec", id], environ)
    return (answer.stdout.strip() if answer else "") or id


def here(environ: Mapping[str, str], gpu_resource: str = "") -> Found:
    """Return the job that the environment names; see `launch.plan.within.allocation.here`."""
    if not (id := number(environ)):
        return Found()
    answer = asked(["flux", "--parent", "job", "info", id, "R"], environ)
    if answer is None:  # no Flux here
        return Found()
    try:
        said = json.loads(answer.stdout)["execution"]
        nodes = tuple(host for text in said["nodelist"] for host in hostlist.expand(text))
        each = [group.get("children", {}) for group in said["R_lite"]]
        cores, gpus = (
            min(len(hostlist.expand(f"[{group[of]}]")) if group.get(of) else 0 for group in each)
            for of in ("core", "gpu")
        )
    except (ValueError, KeyError, TypeError):
        raise silent(
            "FLUX_ENCLOSING_ID", id, "Flux", answer.stderr or "what it prints is no set of resources"
        ) from None
    if "FLUX_JOB_ID" in environ:
        raise Refusal(
            f"this runs in a step of Flux job {id}, which keeps cores that further steps would wait for: start it "
            "from the job's own shell or script, or give --new-job"
        )
    return Found(
        Allocation(
            id=id, nodes=nodes, cpus=max(1, cores), gpus=gpus, end=said.get("expiration") or None, scheduler="flux"
        )
    )
