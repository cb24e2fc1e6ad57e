#!/bin/bash
# The job of a run, as python -m launch submits it:  sbatch --chdir=/scratch/u/runs/first /scratch/u/runs/first/jobs/1/job.sh
#SBATCH --job-name=first
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=72
#SBATCH --gpus-per-node=4
#SBATCH --time=01:00:00
#SBATCH --partition=workq
#SBATCH --account=ab12
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --no-requeue

# Paths are relative to the run directory, in which sbatch --chdir starts this script.
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

# failed STATUS DEPTH LINE: ends the job when one of the next lines fails, or would end this shell;
# those of a file that it sources may fail.
site_file=$PWD
failed() {
    if [ "$2" -gt 1 ] || [ -z "$site_file" ]; then return 0; fi
    cd "$site_file" || exit 1
    site_file=
    echo "launch: a line of the site file failed (exit status $1): $3" >&2
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 && /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . 1
    exit 1
}
trap 'failed "$?" "${#BASH_SOURCE[*]}" "$(sed -n "${LINENO}p" "$0")"' ERR
trap 'failed "$?" 0 "it has ended this shell"' EXIT
module load brics/nccl
set +eu
trap - ERR
cd "$site_file" || exit 1
site_file=
export PYTHONPATH=/home/u/lib${PYTHONPATH:+:$PYTHONPATH}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
# The ranks start, and wait for the note that the attempt has begun before they do anything. A job may be started once
# too often: of a run that is done the note says to leave it alone. It is there beforehand, as NFS shows what is new in a
# file that is opened again at once, and a new file only later.
begun=begun-$SLURM_JOB_ID-$$-$RANDOM$RANDOM
mkdir -p meeting && : >"meeting/$begun"
echo 'launch: ranks start'
srun --nodes=4 --ntasks=16 --ntasks-per-node=4 --cpus-per-task=72 --mpi=none --export=ALL --kill-on-bad-exit=1 --wait=0 --label --output=logs/node%n.log --open-mode=append \
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.worker . "$begun" <&0 &
ranks=$!
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 "$begun" || { [ -s "meeting/$begun" ] || kill "$ranks"; wait "$ranks"; [ -e result.json ]; exit; }
# Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
trap '' TERM USR2  # also for what follows

/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . "$status" "$asked"
