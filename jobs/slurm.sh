#!/bin/bash
# The job of a run, as python -m launch submits it:  @command
@directives

@enter
# Slurm's signals are for the ranks; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

@environment
@begin || { [ -e result.json ]; exit; }  # a job may be started again by mistake: a run that is done is left alone
srun @srun \
    @worker
status=$?
trap '' TERM USR2  # also for what follows

@end "$status" "$asked"
