#!/bin/bash
# The job of a run, as python -m launch submits it:  @command
@directives

@enter
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
asked=
@term
trap @warned USR2

@environment
# The ranks start, and wait for the note that the attempt has begun before they do anything. A job may be started once
# too often: of a run that is done the note says to leave it alone. It is there beforehand, as NFS shows what is new in a
# file that is opened again at once, and a new file only later.
begun=begun-@id-$$-$RANDOM$RANDOM
mkdir -p meeting && : >"meeting/$begun"
echo 'launch: ranks start'
@start \
    @worker "$begun" <&0 &
ranks=$!
@begin "$begun" || { [ -s "meeting/$begun" ] || kill "$ranks"; wait "$ranks"; [ -e result.json ]; exit; }
# Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
trap '' TERM USR2  # also for what follows

@end "$status" "$asked"
