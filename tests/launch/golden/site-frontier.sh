#!/bin/bash
# The job of a run, as python -m launch submits it:  sbatch --chdir=/scratch/u/runs/first /scratch/u/runs/first/jobs/1/job.sh
#SBATCH --job-name=first
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=7
#SBATCH --gpus-per-node=8
#SBATCH --time=01:00:00
#SBATCH --partition=batch
#SBATCH --account=ab12
#SBATCH --signal=USR2@120
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --no-requeue
#SBATCH --network=disable_rdzv_get

# Paths are relative to the run directory, in which sbatch --chdir starts this script.
# Slurm's own warning (USR2, TERM) is for the ranks, which save and leave; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

export NCCL_SOCKET_IFNAME=hsn0,hsn1,hsn2,hsn3
export NCCL_NET_GDR_LEVEL=PHB
export FI_CXI_RDZV_PROTO=alt_read
export PYTHONPATH=/opt/toolkit${PYTHONPATH:+:$PYTHONPATH} TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
/opt/venv/bin/python -m launch.node.attempt begin . 1 || exit 1
srun --nodes=4 --ntasks=32 --ntasks-per-node=8 --cpus-per-task=7 --mpi=none --gpus-per-task=1 --kill-on-bad-exit=1 --label --output=logs/node%n.log --open-mode=append --gpu-bind=closest \
    /opt/venv/bin/python -m launch.node.worker .
status=$?
# An srun that was ended together with its ranks may say 0.
if [ -n "$asked" ] && [ "$status" -eq 0 ]; then status=75; fi

/opt/venv/bin/python -m launch.node.attempt end . "$status"
