"""The command that starts the ranks of a job, if that is not srun.

``launch.node.starter`` runs and watches it. On the nodes it starts ``launch.node.tasks``, which labels what ranks print
and notes how they end.
"""

import shlex
from collections.abc import Sequence

from launch import own_command
from launch.plan.plan import Plan


def of_run(plan: Plan) -> str:
    """Return the words before those of a rank, in the shell of a job for one run."""
    return _words(plan, str(plan.nodes), str(plan.size), '"$begun"', '"$SECONDS"')


def of_pack(plan: Plan) -> str:
    """Return the words before those of a rank, in the function of a packed study, whose second and third argument are
    the numbers of nodes and ranks."""
    return _words(plan, '"$2"', '"$3"', "-", "0")


def of_step(plan: Plan, hosts: Sequence[str]) -> str:
    """Return the words before those of a rank, for a step on these nodes of an allocation, whose launcher watches the
    time."""
    return _words(plan, str(plan.nodes), str(plan.size), "-", "-", hosts)


def _words(plan: Plan, nodes: str, size: str, note: str, elapsed: str, hosts: Sequence[str] = ()) -> str:
    each, cores = plan.ranks_per_node, plan.cpus_per_task
    launcher = {
        "pals": f"mpiexec -n {size} --ppn {each}" + (f" --depth {cores} --cpu-bind depth" if cores else ""),
        "openmpi": f"mpiexec -n {size} --map-by ppr:{each}:node" + (f":PE={cores}" if cores else ""),
        "hydra": f"mpiexec -n {size} -ppn {each}",
        "pbs_tmrsh": "pbs_tmrsh",
        "pbsdsh": "pbsdsh",
        "flux": f"flux run -N {nodes} -n {size}{per_rank(plan)} -o exit-on-error",
    }[str(plan.launcher)]
    names = ",".join(hosts)
    own = {
        "pals": f" --hosts {names}",
        "openmpi": f" --host {','.join(f'{host}:{each}' for host in hosts)}",
        "hydra": f" -hosts {names}",
        "flux": f" --requires=host:{names}",
    }
    launcher += own.get(str(plan.launcher), "") if hosts else ""
    on = f" --on {names}" if hosts and str(plan.launcher) not in own else ""
    more = f" {shlex.join(plan.srun_args)}" if plan.srun_args else ""
    starter = shlex.join(own_command(plan.python, "launch.node.starter"))
    tasks = shlex.join(own_command(plan.python, "launch.node.tasks"))
    return f"{starter} . {note} {elapsed}{on} \\\n    {launcher}{more} \\\n    {tasks} . {note}"


def per_rank(plan: Plan) -> str:
    """Return the options of Flux for the cores and GPUs of a rank."""
    cores = f" -c {plan.cpus_per_task}" if plan.cpus_per_task else ""
    return cores + (f" -g {plan.gpus_per_rank}" if plan.gpus_per_node else "")
