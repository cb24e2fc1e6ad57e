#!/bin/bash
# The job of a run with spare nodes, as python -m launch submits it:  @command
@directives

@enter
@environment
while :; do
    # Slurm's signals are for the ranks; this script stays to note how they ended.
    asked=
    @term
    trap : USR2
    # It chooses the nodes. A job may be started once too often: a run that is done is left alone.
    @begin || { [ -e result.json ]; exit; }
    # The step ends with the first of its nodes, though the job does not.
    @start --no-kill=off --nodelist="$(cat meeting/nodes)" \
        @worker <&0 &
    ranks=$!
    # Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
    while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
    trap '' TERM USR2  # also for what follows
    @end "$status" "$asked"
    code=$?
    [ "$code" = @again_here ] || exit "$code"  # @again_here: on other nodes of this allocation
done
