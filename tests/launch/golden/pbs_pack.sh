#!/bin/bash
# The runs of a study in one allocation, as python -m launch submits them:  qsub -f -N weak -l select=4:ncpus=64:mpiprocs=4:ompthreads=16:system=polaris -l place=scatter -l walltime=1:30:00 -l filesystems=home:eagle -k doe -j oe -r n -o /scratch/u/runs/weak/jobs/1/logs/job.log -- /bin/bash -l /scratch/u/runs/weak/jobs/1/job.sh


cd /scratch/u/runs/weak/jobs/1 || exit 1
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
here=$PWD
asked=
over=
lacking=0
latest=5280  # seconds after which no run is begun
longest=1680  # seconds after which a run is asked to leave, or ended
trap 'asked=1' TERM
trap : USR2

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
        /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.starter . - 0 \
    mpiexec -n "$3" --ppn 4 --depth 16 --cpu-bind depth \
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.tasks . - \
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
