#!/bin/bash
# The job of a run, as python -m launch submits it:  sbatch --chdir=/scratch/u/runs/gpus /scratch/u/runs/gpus/jobs/1/job.sh
#SBATCH --job-name=gpus
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=a100:4
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --no-requeue

# Paths are relative to the run directory, in which sbatch --chdir starts this script.
# Slurm's signals are for the ranks; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

export PYTHONPATH=/home/u/lib${PYTHONPATH:+:$PYTHONPATH}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
/opt/venv/bin/python /opt/toolkit/launch/program/rankloop.py launch.node.attempt begin . 1 || { [ -e result.json ]; exit; }  # a job may be started again by mistake: a run that is done is left alone
srun --nodes=2 --ntasks=4 --ntasks-per-node=2 --cpus-per-task=32 --mpi=none --gpus-per-task=2 --export=ALL --kill-on-bad-exit=1 --wait=0 --label --output=logs/node%n.log --open-mode=append \
    /opt/venv/bin/python /opt/toolkit/launch/program/rankloop.py launch.node.worker .
status=$?
trap '' TERM USR2  # also for what follows

/opt/venv/bin/python /opt/toolkit/launch/program/rankloop.py launch.node.attempt end . "$status" "$asked"
