#!/bin/bash
# The job of a run, as python -m launch submits it:  qsub -f -N weak-n1 -l select=1:ncpus=1:mpiprocs=1 -l place=scatter -J 0-2%2 -k doe -j oe -r y -o '/scratch/u/runs/weak/jobs/1/logs/^array_index^.log' -- /bin/bash -l /scratch/u/runs/weak/jobs/1/job.sh


cd /scratch/u/runs/weak/jobs/1 || exit 1  # PBS starts it in the home directory
# A task of the array is a run of the study; from here on paths are relative to its directory.
cd "$(sed -n "$((${1:-${PBS_ARRAY_INDEX:-0}} + 1))p" runs.txt)" && mkdir -p logs || exit 1
exec >>logs/job.log 2>&1
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
asked=
ranks=
trap 'asked=1; [ -z "$ranks" ] || kill "$ranks"' TERM
trap '[ -z "$ranks" ] || kill -s USR2 "$ranks"' USR2

export PYTHONPATH=/home/u/lib${PYTHONPATH:+:$PYTHONPATH}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
# The ranks start, and wait for the note that the attempt has begun before they do anything. A job may be started once
# too often: of a run that is done the note says to leave it alone. It is there beforehand, as NFS shows what is new in a
# file that is opened again at once, and a new file only later.
begun=begun-$PBS_JOBID-$$-$RANDOM$RANDOM
mkdir -p meeting && : >"meeting/$begun"
echo 'launch: ranks start'
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.starter . "$begun" "$SECONDS" \
    pbs_tmrsh \
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.tasks . "$begun" \
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.worker . "$begun" <&0 &
ranks=$!
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 "$begun" || { [ -s "meeting/$begun" ] || kill "$ranks"; wait "$ranks"; [ -e result.json ]; exit; }
# Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
trap '' TERM USR2  # also for what follows

/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . "$status" "$asked"
