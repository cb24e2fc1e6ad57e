#!/bin/bash
# The runs of a study in one allocation, as python -m launch submits them:  @command
@directives

@enter
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
here=$PWD
asked=
over=
lacking=0
latest=@latest  # seconds after which no run is begun
longest=@longest  # seconds after which a run is asked to leave, or ended
trap 'asked=1' TERM
trap : USR2

@environment

# run FOLDER NODES RANKS: a run of the study, as a step on the first nodes. Nothing else runs meanwhile, so that nothing
# disturbs what it measures.
run() {
    lacking=$((lacking + 1))
    if [ -n "$asked$over" ] || [ "$SECONDS" -ge "$latest" ]; then return; fi
    cd "$here/$1" && mkdir -p logs || return
    {
        @begin
        began=$SECONDS
        @start \
            @worker
        status=$?
        (trap '' TERM USR2 && @end "$status" "$asked")
        case $? in
            0) lacking=$((lacking - 1)) ;;
            # Ranks that leave earlier than their time demands were asked to; so are those that would follow.
            75) [ $((SECONDS - began)) -ge "$longest" ] || over=1 ;;
        esac
    } >>logs/job.log 2>&1
}

@runs

if [ "$lacking" -gt 0 ]; then
    echo "$lacking runs are not done"
    exit 1
fi
