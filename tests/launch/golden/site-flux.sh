#!/bin/bash
# The job of a run, as python -m launch submits it:  flux batch --cwd=/scratch/u/runs/first --job-name=first --output=/scratch/u/runs/first/jobs/1/flux.log /scratch/u/runs/first/jobs/1/job.sh
#flux: -N 4
#flux: -t 3600s
#flux: -B ab12

# Flux would begin its own file anew with each attempt.
mkdir -p logs && exec >>logs/job.log 2>&1
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
begun=begun-"${FLUX_ENCLOSING_ID:-}"-$$-$RANDOM$RANDOM
mkdir -p meeting && : >"meeting/$begun"
echo 'launch: ranks start'
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.starter . "$begun" "$SECONDS" \
    flux run -N 4 -n 4 -o exit-on-error \
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.tasks . "$begun" \
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.worker . "$begun" <&0 &
ranks=$!
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 "$begun" || { [ -s "meeting/$begun" ] || kill "$ranks"; wait "$ranks"; [ -e result.json ]; exit; }
# Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
trap '' TERM USR2  # also for what follows

/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . "$status" "$asked"
