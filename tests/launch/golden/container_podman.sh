#!/bin/bash
# The job of a run, as python -m launch submits it:  sbatch --chdir=/scratch/u/runs/contained /scratch/u/runs/contained/jobs/1/job.sh
#SBATCH --job-name=contained
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --no-requeue

# Paths are relative to the run directory, in which sbatch --chdir starts this script.
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

export PYTHONPATH=/home/u/lib${PYTHONPATH:+:$PYTHONPATH}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
# The ranks start, and wait for the note that the attempt has begun before they do anything. A job may be started once
# too often: of a run that is done the note says to leave it alone. It is there beforehand, as NFS shows what is new in a
# file that is opened again at once, and a new file only later.
begun=begun-$SLURM_JOB_ID-$$-$RANDOM$RANDOM
mkdir -p meeting && : >"meeting/$begun"
echo 'launch: ranks start'
srun --nodes=2 --ntasks=8 --ntasks-per-node=4 --cpus-per-task=16 --mpi=none --export=ALL --kill-on-bad-exit=1 --wait=0 --label --output=logs/node%n.log --open-mode=append \
    sh -c 'LAUNCH_CLIENT=$$ exec "$@"' podman-hpc podman-hpc run --rm --env-host --network=host --ipc=host --pid=host --gpu --volume=/home/u/code:/home/u/code --volume=/scratch/u:/scratch/u --openmpi-pmi2 nvcr.io/nvidia/tensorflow:24.01-tf2-py3 env PYTHONPATH=/home/u/lib python3 /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.worker "$PWD" "$begun" <&0 &
ranks=$!
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 "$begun" || { [ -s "meeting/$begun" ] || kill "$ranks"; wait "$ranks"; [ -e result.json ]; exit; }
# Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
trap '' TERM USR2  # also for what follows

/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . "$status" "$asked"
