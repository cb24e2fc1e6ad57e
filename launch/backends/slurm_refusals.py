"""What sbatch says when it refuses a job, and what the user can do about it."""

import re

# The limits are named as in Slurm's job_state_reason_string; with and without the names sbatch adds "Job violates
# accounting/QOS policy". The first that fits counts.
_ADVICE = (
    (r"SubmitJob", "so many of your jobs are in the queue already (each run of an array is one; see squeue --me): wait for some to end, submit fewer runs at a time, or give a study one job with --pack"),
    (r"WallDuration|Requested time limit is invalid", "ask for less --time, or for another QOS (-q) or partition (-p)"),
    (r"Minutes|Billing|GrpWall", "the time that is left to the account does not suffice: ask for less --time or fewer nodes, or name another account (-A)"),
    (r"QOSMin", "this QOS is for larger jobs: ask for more nodes or GPUs, or for another QOS (-q)"),
    (r"(QOS|Assoc)(Grp|Max)\w+", "ask for fewer nodes, or for another QOS (-q); sacctmgr show qos says what each allows"),
    (r"accounting/QOS policy", "a limit of the account or the QOS: ask for less --time or fewer nodes; sacctmgr show qos and sacctmgr show assoc user=$USER say what is allowed"),
    (r"Invalid account", "name an account of yours with -A: sacctmgr show assoc user=$USER lists them"),
    (r"Invalid qos", "name another with -q: sacctmgr show assoc user=$USER format=account,qos lists yours"),
    (r"not permitted to use this partition|partition (not available|access)", "name another partition with -p: sinfo lists them"),
    (r"Invalid feature", "name features that the nodes have with -C: sinfo -o '%P %f' lists them"),
    (r"Invalid generic resource|gres", "ask for GPUs as this cluster names them: sinfo -o '%P %G' lists them"),
    (r"node configuration is not available|Node count specification invalid|processors requested", "ask for fewer nodes, or less of each: sinfo -o '%P %D %c %m %G' lists nodes, cores, memory and GPUs"),
    (r"[Rr]eservation", "name a reservation that is open to you: scontrol show reservation lists them"),
)  # fmt: skip


def advice(said: str) -> str:
    """What to do about a refusal, to be put behind it; nothing where nothing better than Slurm's own words is known."""
    return next((f": {what}" for pattern, what in _ADVICE if re.search(pattern, said)), "")
