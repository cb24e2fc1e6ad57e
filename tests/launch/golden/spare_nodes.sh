#!/bin/bash
# The job of a run with spare nodes, as python -m launch submits it:  sbatch --chdir=/scratch/u/runs/spare /scratch/u/runs/spare/jobs/1/job.sh
#SBATCH --job-name=spare
#SBATCH --nodes=5
#SBATCH --no-kill
#SBATCH --ntasks-per-node=1
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --requeue

# Paths are relative to the run directory, in which sbatch --chdir starts this script.
export PYTHONPATH=/home/u/lib${PYTHONPATH:+:$PYTHONPATH}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
while :; do
    # Slurm's signals are for the ranks; this script stays to note how they ended.
    asked=
    # At the time limit another start is asked for at once: Slurm leaves this script no more time than its ranks.
again() { /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt again .; }
trap 'asked=1; trap "" TERM; again' TERM
    trap : USR2
    # It chooses the nodes. A job may be started once too often: a run that is done is left alone.
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 || { [ -e result.json ]; exit; }
    # The step ends with the first of its nodes, though the job does not.
    srun --nodes=4 --ntasks=4 --ntasks-per-node=1 --mpi=none --export=ALL --kill-on-bad-exit=1 --wait=0 --label --output=logs/node%n.log --open-mode=append --no-kill=off --nodelist="$(cat meeting/nodes)" \
        /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.worker . <&0 &
    ranks=$!
    # Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
    while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
    trap '' TERM USR2  # also for what follows
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . "$status" "$asked"
    code=$?
    [ "$code" = 76 ] || exit "$code"  # 76: on other nodes of this allocation
done
