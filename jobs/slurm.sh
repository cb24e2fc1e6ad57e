#!/bin/bash
# The job of a run, as python -m launch submits it:  @command
@directives

@enter
# Slurm's signals are for the ranks; this script stays to note how they ended.
asked=
@term
trap : USR2

@environment
# A job may be started once too often: a run that is done is left alone.
@begin || { [ -e result.json ]; exit; }
srun @srun \
    @worker <&0 &
ranks=$!
# Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
trap '' TERM USR2  # also for what follows

@end
