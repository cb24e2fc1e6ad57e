#!/bin/bash
# The job of a run, as python -m launch submits it:  @command
@directives

@enter
# Slurm's own warning (USR2, TERM) is for the ranks, which save and leave; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

@environment
@begin || exit 1
srun @srun \
    @worker
status=$?
# An srun that was ended together with its ranks may say 0.
if [ -n "$asked" ] && [ "$status" -eq 0 ]; then status=75; fi

@end "$status"
