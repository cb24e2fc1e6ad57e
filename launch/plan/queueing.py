"""What differs between the schedulers with a queue, as far as the plan needs to know it: what each cannot do, and what
starts the ranks."""

import os
from collections.abc import Mapping

from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.site import Site
from launch.plan.typed import Launcher

TITLES = {"slurm": "Slurm", "pbs": "PBS", "flux": "Flux"}
"""The schedulers with a queue, by the names of their backends."""

_DEFAULT: dict[str, Launcher] = {"pbs": "pbs_tmrsh", "flux": "flux"}
_WITHOUT_MPI = ("pbs_tmrsh", "pbsdsh")


def refuse(request: Request, site: Site, backend: str) -> None:
    """Refuse what a scheduler other than Slurm cannot do.

    Raises
    ------
    Refusal
        With the option, and what to do instead.
    """
    if backend not in _DEFAULT:
        return
    title = TITLES[backend]
    of_both = {
        "--spare-nodes": (request.spare_nodes, "leave it out: a later attempt waits in the queue"),
        "--stage-env": (request.stage_env, "leave it out, or give an image with --container"),
        "--constraint": (request.constraint, "ask for such nodes by an option of its own, with --submit-arg"),
        "--inherit": (request.inherit, "give an option"),
        "--gpu-binding slurm": (request.gpu_binding == "slurm", "give env or framework"),
        f"--container by {site.container}": (
            request.container and site.container in ("pyxis", "edf"),
            "it is a part of srun: name another in the site file",
        ),
    }
    of_one = {
        "pbs": {"--qos": (request.qos, "name a queue with -p")},
        "flux": {
            "--qos": (request.qos, "name a queue with -p"),
            "--throttle": (request.throttle and not request.pack, "leave it out, or make one job of all with --pack"),
        },
    }[backend]
    for option, (given, instead) in {**of_both, **of_one}.items():
        if given:
            raise Refusal(f"{option} is not possible with {title}: {instead}")


def refuse_within(backend: str, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a launcher that itself runs in a PBS job, of which its runs cannot become a part.

    Within a Flux job the instance of that job takes the runs, as Flux means it.

    Raises
    ------
    Refusal
        If there is such a job.
    """
    if backend == "pbs" and (job := environ.get("PBS_JOBID")):
        raise Refusal(
            f"this runs in PBS job {job}, and runs cannot become parts of it: give --new-job for a job of their own, "
            "or --backend local for processes of this node"
        )


def launcher(site: Site, backend: str, rendezvous: str, size: int) -> Launcher | None:
    """What starts the ranks of a job; None where it is srun, or the launcher itself.

    Raises
    ------
    Refusal
        If it cannot start ranks here, or not such ranks.
    """
    if backend not in _DEFAULT:
        return None
    chosen = site.launcher or _DEFAULT[backend]
    if chosen == "srun" or (chosen == "flux") != (backend == "flux") and chosen in ("flux", *_WITHOUT_MPI):
        raise Refusal(
            f"the file of site {site.name} has launcher = {chosen!r}, which does not belong to "
            f"{TITLES[backend]}: correct it"
        )
    if chosen in _WITHOUT_MPI and rendezvous == "mpi" and size > 1:
        raise Refusal(
            f"{chosen} starts ranks that know nothing of MPI, which the program uses: name the site's mpiexec in its "
            'file (launcher = "pals", "openmpi" or "hydra"), or give --rendezvous gloo'
        )
    return chosen
