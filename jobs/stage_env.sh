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
        --quiet bash -c "$(declare -f "$1")"'; "$@@"' bash "$@@" 2>&1
}
stage() { # stage ARCHIVE KIB PYTHON DISK...: sets the folder in which it is on each node, if it is on all
    local archive=$1 key disk own said status sent
    key=$(basename "$archive" .tar)
    for disk in "${@@:4}"; do
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
python=@python
start=@start
staged=
stage @archive @kib @packed_python @disks
if [ -n "$staged" ]; then
    python=$staged/@packed_python @packed_start
    export LAUNCH_STAGED=$staged
fi
