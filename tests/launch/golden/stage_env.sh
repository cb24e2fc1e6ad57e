#!/bin/bash
# The job of a run, as python -m launch submits it:  sbatch --chdir=/scratch/u/runs/staged /scratch/u/runs/staged/jobs/1/job.sh
#SBATCH --job-name=staged
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --output=logs/job.log
#SBATCH --open-mode=append
#SBATCH --no-requeue

# Paths are relative to the run directory, in which sbatch --chdir starts this script.
# Signals of the scheduler are for the ranks; this script stays to note how they ended.
asked=
trap 'asked=1' TERM
trap : USR2

export PYTHONPATH=/home/u/lib${PYTHONPATH:+:$PYTHONPATH}
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
# The environment of Python goes to a disk of each node: read once, and sent on by Slurm's daemons as by a tree. It stays
# there for later runs, until another takes its place. Where that fails, the ranks start from where it is.
fetch() { # fetch FOLDER KEY KIB: on a node; status 0 if it is there, 1 if it is to be sent, 2 if it cannot be
    local name=${HOSTNAME:-a node} lock free
    # shellcheck disable=SC2174  # the folder above it is there
    if ! { mkdir -p -m 700 "$1" && [ -O "$1" ] && [ ! -L "$1" ]; } 2>/dev/null; then
        echo "$1 on $name cannot be made, or is another user's"
        return 2
    fi
    if [ -e "$1/$2/whole" ]; then touch "$1/$2.lock"; return 0; fi
    for lock in "$1"/*.lock; do # others, which nobody has asked for in an hour, and no rank holds
        [ -z "$(find "$lock" -mmin +60 2>/dev/null)" ] || (exec 9<"$lock" && flock -n 9 && rm -rf "${lock%.lock}" "$lock")
    done
    find "$1" -maxdepth 1 -name '*.tar' -mmin +60 -delete # of a job that was killed
    free=$(df -Pk "$1" | awk 'NR == 2 { print $4 }')
    if [ "$free" -lt $((2 * $3)) ]; then
        echo "$1 on $name has $((free / 1024)) MiB free, and it needs $(($3 / 512))"
        return 2
    fi
    return 1
}
unpack() { # unpack FOLDER KEY ARCHIVE PYTHON: on a node
    local name=${HOSTNAME:-a node} said
    exec 9>>"$1/$2.lock"
    flock 9
    touch "$1/$2.lock"
    if [ ! -e "$1/$2/whole" ]; then
        rm -rf "${1:?}/$2"
        if ! said=$(mkdir "$1/$2" && tar -xf "$3" -C "$1/$2" 2>&1); then
            echo "$1 on $name: $said"
        elif [ -d "$1/$2/1" ] && ! sed -i "s|^home *=.*|home = $1/$2/1/bin|" "$1/$2/0/pyvenv.cfg"; then
            echo "$1 on $name: its pyvenv.cfg cannot be changed"
        elif ! said=$("$1/$2/$4" -I -c '' 2>&1); then
            echo "its interpreter does not run on $name: ${said##*$'\n'}"
        else
            touch "$1/$2/whole"
        fi
    fi
    rm -f "$3"
    [ -e "$1/$2/whole" ]
}
on_nodes() { # on_nodes FUNCTION ARGUMENTS: what it said on any node, and the largest status
    srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --mpi=none --export=ALL \
        --quiet bash -c "$(declare -f "$1")"'; "$@"' bash "$@" 2>&1
}
stage() { # stage ARCHIVE KIB PYTHON DISK...: sets the folder in which it is on each node, if it is on all
    local archive=$1 key disk own said status sent
    key=$(basename "$archive" .tar)
    for disk in "${@:4}"; do
        case $(stat -fc %T "${disk:-/nonexistent}" 2>/dev/null) in
            '' | nfs* | lustre | gpfs | ceph | fuse* | beegfs | afs | smb* | cifs | panfs | v9fs | prl_fs | gfs* | ocfs*) ;;
            *) [ ! -w "$disk" ] || break ;;
        esac
        disk=
    done
    own=$disk/rankloop-$UID sent=$disk/rankloop-$UID/$key.$SLURM_JOB_ID.tar
    if [ -z "$disk" ]; then
        said='there is no disk of the node to write to'
    elif [ ! -r "$archive" ]; then
        said="$archive is gone"
    else
        said=$(on_nodes fetch "$own" "$key" "$2") && staged=$own/$key && return
        status=$?
        if [ "$status" = 1 ] && said=$(sbcast --force "$archive" "$sent" 2>&1) &&
            said=$(on_nodes unpack "$own" "$key" "$sent" "$3"); then
            staged=$own/$key
            return
        fi
    fi
    said=$(grep -v '^srun: ' <<<"$said" || echo "$said") # what it says of tasks says less than they do
    echo "launch: --stage-env: $(head -n 1 <<<"$said"): the ranks start from $python"
}
python=/opt/venv/bin/python
start=/opt/toolkit/launch/inside/rankloop/__main__.py
staged=
stage /scratch/u/runs/.environments/0123.tar 2048 0/bin/python '/local/my disk'
if [ -n "$staged" ]; then
    python=$staged/0/bin/python start=$staged/0/lib/python3.11/site-packages/rankloop/__main__.py
    export LAUNCH_STAGED=$staged
fi

# The ranks start, and wait for the note that the attempt has begun before they do anything. A job may be started once
# too often: of a run that is done the note says to leave it alone. It is there beforehand, as NFS shows what is new in a
# file that is opened again at once, and a new file only later.
begun=begun-$SLURM_JOB_ID-$$-$RANDOM$RANDOM
mkdir -p meeting && : >"meeting/$begun"
echo 'launch: ranks start'
srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --mpi=none --export=ALL --kill-on-bad-exit=1 --wait=0 --label --output=logs/node%n.log --open-mode=append \
    "$python" "$start" launch.node.worker . "$begun" <&0 &
ranks=$!
/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt begin . 1 "$begun" || { [ -s "meeting/$begun" ] || kill "$ranks"; wait "$ranks"; [ -e result.json ]; exit; }
# Unlike a command in the foreground, wait is interrupted by a signal, so that this is heard at once.
while wait "$ranks"; status=$?; kill -0 "$ranks" 2>/dev/null; do :; done
trap '' TERM USR2  # also for what follows

/opt/venv/bin/python /opt/toolkit/launch/inside/rankloop/__main__.py launch.node.attempt end . "$status" "$asked"
