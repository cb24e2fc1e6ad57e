"""What differs between the schedulers with a queue, as far as the plan needs to know it: what each cannot do, and what
starts the ranks."""

from launch.errors import Refusal
from launch.plan.request import Request
from launch.plan.site import Site
from launch.plan.typed import Launcher

TITLES = {"slurm": "Slurm", "pbs": "PBS", "flux": "Flux"}
"""The schedulers with a queue, by the names of their backends."""

STARTS_BY: dict[str, Launcher] = {"slurm": "srun", "pbs": "pbs_tmrsh", "flux": "flux"}
"""What starts ranks where the site file does not say it."""

_WITHOUT_MPI = ("pbs_tmrsh", "pbsdsh")


def refuse(request: Request, site: Site, backend: str, scheduler: str) -> None:
    """Refuse options that a scheduler other than Slurm does not support; the runs go into its jobs or allocation.

    Raises
    ------
    Refusal
        If such an option is given; the message says what to do instead.
    """
    if scheduler not in ("pbs", "flux"):
        return
    title, steps = TITLES[scheduler], backend == "allocation"
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
            "--throttle": (
                request.throttle and not request.pack and not steps,
                "leave it out, or make one job of all with --pack",
            ),
        },
    }[scheduler]
    for option, (given, instead) in {**of_both, **of_one}.items():
        if given:
            raise Refusal(f"{option} is not possible with {title}: {instead}")


def launcher(site: Site, scheduler: str, rendezvous: str, size: int) -> Launcher | None:
    """Return what starts the ranks of a job; None if that is srun, or the launcher itself.

    Raises
    ------
    Refusal
        If it cannot start ranks here, or not ranks of this kind.
    """
    if scheduler not in ("pbs", "flux"):
        return None
    chosen = site.launcher or STARTS_BY[scheduler]
    if chosen == "srun" or (chosen == "flux") != (scheduler == "flux") and chosen in ("flux", *_WITHOUT_MPI):
        raise Refusal(
            f"the file of site {site.name} has launcher = {chosen!r}, which does not belong to "
            f"{TITLES[scheduler]}: correct it"
        )
    if chosen in _WITHOUT_MPI and rendezvous == "mpi" and size > 1:
        raise Refusal(
            f"{chosen} starts ranks that know nothing of MPI, which the program uses: name the site's mpiexec in its "
            'file (launcher = "pals", "openmpi" or "hydra"), or give --rendezvous gloo'
        )
    return chosen
