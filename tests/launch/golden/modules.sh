#!/bin/bash
# The job of a run, as python -m launch submits it:  sbatch --chdir=/scratch/u/runs/modules '--comment=a word # and '"'"'more'"'"'' /scratch/u/runs/modules/jobs/1/job.sh
#SBATCH --job-name=modules
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --signal=USR2@120
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --no-requeue
#SBATCH --exclusive
#SBATCH --comment='a word # and '"'"'more'"'"''

# Paths are relative to the run directory, in which sbatch --chdir starts this script.
# Slurm's own warning (USR2, TERM) is for the ranks, which save and leave; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

module load gcc/12 'cuda/12.4 beta' || { PYTHONPATH=/opt/toolkit /opt/venv/bin/python -m launch.node.attempt begin . 1 && PYTHONPATH=/opt/toolkit /opt/venv/bin/python -m launch.node.attempt end . 1; exit 1; }
ulimit -s unlimited
export NCCL_SOCKET_IFNAME=hsn0,hsn1
export NOTE='it'"'"'s two "words"'
export PYTHONPATH=/opt/toolkit${PYTHONPATH:+:$PYTHONPATH} TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
/opt/venv/bin/python -m launch.node.attempt begin . 1 || exit 1
srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --mpi=none --kill-on-bad-exit=1 --label --output=logs/node%n.log --open-mode=append --cpu-bind=cores \
    /opt/venv/bin/python -m launch.node.worker .
status=$?
# An srun that was ended together with its ranks may say 0.
if [ -n "$asked" ] && [ "$status" -eq 0 ]; then status=75; fi

/opt/venv/bin/python -m launch.node.attempt end . "$status"
