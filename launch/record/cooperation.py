"""Whether the ranks of a program that is not a workload cooperate: what the plan says, and what the end of the run
shows."""

from launch.errors import page
from launch.plan.plan import BY_NUMBER, Plan
from launch.plan.target import imports
from launch.plan.target.cooperation import uses_mpi
from launch.record.rundir import RunDir

_HOW = {
    "keras": ("call rankloop.keras.fit in place of model.fit", "howto/model_fit.md"),
    "torch": ("wrap the model in DistributedDataParallel", "howto/pytorch.md"),
    "jax": ("call jax.distributed.initialize()", "howto/jax.md"),
}
"""How ranks that use a framework are made to cooperate, and the page about it. The first one imported counts."""


def expected(plan: Plan) -> str:
    """Return what the plan says about cooperation; empty for a workload or a single rank."""
    if plan.kind == "workload" or plan.size == 1:
        return ""
    found = plan.cooperation
    if plan.independent:
        return "each works on its own, as --independent says"
    if found is None:
        return (
            f"whether they cooperate is not known: if not, each of the {plan.size} does the same work on its own; "
            f"{_advice(plan)}"
        )
    if not found:
        return (
            f"nothing was found by which they cooperate, so each of the {plan.size} does the same work on its own: "
            f"{_advice(plan)}"
        )
    if found == BY_NUMBER:
        return "the program asks which rank it is: whether each does a part of the work, it alone knows"
    if not uses_mpi(found):
        return f"cooperate by {found}"
    if plan.rendezvous == "mpi":
        return f"cooperate by {found}, so they are started as one MPI program (--rendezvous mpi)"
    return (
        f"cooperate by {found}, but with --rendezvous {plan.rendezvous} MPI starts each of them on its own: give "
        f"--rendezvous mpi"
    )


def seen(run: RunDir, plan: Plan) -> str:
    """Return what to report after a run has ended well; empty if the ranks have met, or were not meant to."""
    if plan.kind == "workload" or plan.size == 1 or plan.independent:
        return ""
    world = run.world()
    if world is not None and world["attempt"] == run.attempts():
        if world["size"] == plan.size:
            return ""
        by_mpi = plan.rendezvous != "mpi" and world["by"] in ("mpi4py", "horovod")
        advice = (
            "start it with --rendezvous mpi"
            if by_mpi
            else f"its MPI may be another than that of mpirun, or not know srun's --mpi{page('slurm.md')}"
            if world["by"] == "mpi4py"
            else f"let it read WORLD_SIZE and MASTER_ADDR{page('your_program.md')}"
        )
        apart = "each did the same work on its own" if world["size"] == 1 else "not all of them took part"
        return (
            f"{world['by']} knew of {world['size']} rank{'s' * (world['size'] > 1)} where {plan.size} were "
            f"started, so {apart}: {advice}"
        )
    if plan.cooperation is None:
        return (
            f"whether the {plan.size} ranks cooperated is not known: if not, each did the same work on its own; "
            f"{_advice(plan)}"
        )
    if plan.cooperation.startswith("MPI ") and plan.rendezvous != "mpi":  # a binary cannot be asked whom it has met
        return (
            f"with --rendezvous {plan.rendezvous} MPI started each of the {plan.size} ranks on its own, so each "
            f"did the same work: give --rendezvous mpi"
        )
    if not plan.cooperation:
        return (
            f"nothing was found by which the {plan.size} ranks cooperate, so each did the same work on its own: "
            f"{_advice(plan)}"
        )
    return ""


def _advice(plan: Plan) -> str:
    """Return what to do, with the framework that a script imports."""
    used = imports.anywhere(plan.workload) if plan.kind == "script" else set[str]()
    how, where = next((_HOW[name] for name in _HOW if name in used), ("let them cooperate", "your_program.md"))
    return f"{how}{page(where)}, or say with --independent that this is meant"
