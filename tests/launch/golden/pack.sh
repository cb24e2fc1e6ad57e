#!/bin/bash
# The runs of a study in one allocation, as python -m launch submits them:  sbatch --chdir=/scratch/u/runs/weak/jobs/1 /scratch/u/runs/weak/jobs/1/job.sh
#SBATCH --job-name=weak
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=01:30:00
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --no-requeue

# Paths are relative to the folder in which sbatch --chdir starts this script.
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
here=$PWD
asked=
over=
lacking=0
latest=5280  # seconds after which no run is begun
longest=1800  # seconds after which a run is asked to leave, or ended
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
    exit 1
}
trap 'failed "$?" "${#BASH_SOURCE[*]}" "$(sed -n "${LINENO}p" "$0")"' ERR
trap 'failed "$?" 0 "it has ended this shell"' EXIT
module load cuda/12
set +eu
trap - ERR
cd "$site_file" || exit 1
site_file=
export PYTHONPATH=/home/u/lib${PYTHONPATH:+:$PYTHONPATH}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}

# run FOLDER NODES RANKS: a run of the study, as a step on the first nodes. Nothing else runs meanwhile, so that nothing
# disturbs what it measures.
run() {
    lacking=$((lacking + 1))
    if [ -n "$asked$over" ] || [ "$SECONDS" -ge "$latest" ]; then return; fi
    cd "$here/$1" && mkdir -p logs || return
    {
        /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 || { [ -e result.json ] && lacking=$((lacking - 1)); return; }
        began=$SECONDS
        srun --nodes="$2" --ntasks="$3" --time=30 --ntasks-per-node=4 --cpus-per-task=16 --mpi=none --export=ALL --kill-on-bad-exit=1 --wait=0 --label --output=logs/node%n.log --open-mode=append --cpu-bind=cores \
            /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.worker .
        status=$?
        (trap '' TERM USR2 && /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . "$status" "$asked")
        case $? in
            0) lacking=$((lacking - 1)) ;;
            # Ranks that leave earlier than their time demands were asked to; so are those that would follow.
            75) [ $((SECONDS - began)) -ge "$longest" ] || over=1 ;;
        esac
    } >>logs/job.log 2>&1
}

run ../../n4-r1 4 16
run ../../n2-r1 2 8
run ../../n1-r1 1 4

if [ "$lacking" -gt 0 ]; then
    echo "$lacking runs are not done"
    exit 1
fi
