#!/bin/bash
# The runs of a study in one allocation, as python -m launch submits them:  @command
@directives

# Paths are relative to the folder in which sbatch --chdir starts this script.
# Slurm's own warning (USR2, TERM) is for the ranks, which save and leave; this script stays to note how they ended.
here=$PWD
asked=
over=
lacking=0
latest=@latest  # seconds after which no run is begun
warning=@warning  # seconds after which a run is asked to leave
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
        # As Slurm does for a job: a warning before the time of the run is over, and its end then.
        timeout --preserve-status --signal=USR2 "$warning" \
            srun --nodes="$2" --ntasks="$3" @srun \
            @worker
        status=$?
        # An srun that was ended together with its ranks may say 0.
        if [ -n "$asked" ] && [ "$status" -eq 0 ]; then status=75; fi
        # Ranks that leave earlier than their time demands were asked to; so are those that would follow.
        if [ "$status" -eq 75 ] && [ $((SECONDS - began)) -lt "$warning" ]; then over=1; fi
        @end "$status" "$asked" && lacking=$((lacking - 1))
    } >>logs/job.log 2>&1
}

@runs

if [ "$lacking" -gt 0 ]; then
    echo "$lacking runs are not done"
    exit 1
fi
