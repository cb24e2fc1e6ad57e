#!/bin/bash
# The job of a run, as python -m launch submits it:  sbatch --chdir=/scratch/u/runs/mpi /scratch/u/runs/mpi/jobs/1/job.sh
#SBATCH --job-name=mpi
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --signal=USR2@120
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --no-requeue

# Paths are relative to the run directory, in which sbatch --chdir starts this script.
# Slurm's own warning (USR2, TERM) is for the ranks, which save and leave; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

export PYTHONPATH=/opt/toolkit${PYTHONPATH:+:$PYTHONPATH} TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
/opt/venv/bin/python -m launch.node.attempt begin . 1 || exit 1
srun --nodes=4 --ntasks=8 --ntasks-per-node=2 --mpi=pmix --kill-on-bad-exit=1 --label --output=logs/node%n.log --open-mode=append \
    /opt/venv/bin/python -m launch.node.worker .
status=$?
# An srun that was ended together with its ranks may say 0.
if [ -n "$asked" ] && [ "$status" -eq 0 ]; then status=75; fi

/opt/venv/bin/python -m launch.node.attempt end . "$status"
