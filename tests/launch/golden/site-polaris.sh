#!/bin/bash
# The job of a run, as python -m launch submits it:  qsub -f -N first -A ab12 -q prod -l select=10:ncpus=32:mpiprocs=4:ompthreads=8:system=polaris -l place=scatter -l walltime=1:00:00 -l filesystems=home:eagle -k doe -j oe -r n -o /scratch/u/runs/first/logs/job.log -- /bin/bash -l /scratch/u/runs/first/jobs/1/job.sh


cd /scratch/u/runs/first || exit 1  # PBS starts it in the home directory
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
asked=
ranks=
trap 'asked=1; [ -z "$ranks" ] || kill "$ranks"' TERM
trap '[ -z "$ranks" ] || kill -s USR2 "$ranks"' USR2

# failed STATUS DEPTH LINE: ends the job when one of the next lines fails, or would end this shell;
# those of a file that it sources may fail.
site_file=$PWD
failed() {
    if [ "$2" -gt 1 ] || [ -z "$site_file" ]; then return 0; fi
    cd "$site_file" || exit 1
    site_file=
    echo "launch: a line of the site file failed (exit status $1): $3" >&2
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 && /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . 1
    exit 1
}
trap 'failed "$?" "${#BASH_SOURCE[*]}" "$(sed -n "${LINENO}p" "$0")"' ERR
trap 'failed "$?" 0 "it has ended this shell"' EXIT
export LD_LIBRARY_PATH=/soft/libraries/aws-ofi-nccl/v1.9.1-aws/lib:/soft/libraries/hwloc/lib/:${LD_LIBRARY_PATH:-}
set +eu
trap - ERR
cd "$site_file" || exit 1
site_file=
export NCCL_NET='AWS Libfabric'
export NCCL_NET_GDR_LEVEL=PHB
export NCCL_CROSS_NIC=1
export NCCL_COLLNET_ENABLE=1
export FI_CXI_DISABLE_HOST_REGISTER=1
export FI_MR_CACHE_MONITOR=userfaultfd
export FI_CXI_DEFAULT_CQ_SIZE=131072
export PYTHONPATH=/home/u/lib${PYTHONPATH:+:$PYTHONPATH}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
# The ranks start, and wait for the note that the attempt has begun before they do anything. A job may be started once
# too often: of a run that is done the note says to leave it alone. It is there beforehand, as NFS shows what is new in a
# file that is opened again at once, and a new file only later.
begun=begun-$PBS_JOBID-$$-$RANDOM$RANDOM
mkdir -p meeting && : >"meeting/$begun"
echo 'launch: ranks start'
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.starter . "$begun" "$SECONDS" \
    mpiexec -n 40 --ppn 4 --depth 8 --cpu-bind depth \
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.tasks . "$begun" \
    /opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.worker . "$begun" <&0 &
ranks=$!
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 "$begun" || { [ -s "meeting/$begun" ] || kill "$ranks"; wait "$ranks"; [ -e result.json ]; exit; }
# Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
trap '' TERM USR2  # also for what follows

/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . "$status" "$asked"
