#!/usr/bin/env bash
# Installs what the Slurm tests need from Debian's packages, where that is possible; else says so, and they are skipped.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

# libpmix-dev: `srun --mpi=pmix` opens libpmix.so by its full path, a link that only the -dev package has.
packages=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge libpmix-dev)
missing=()
for name in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q ' installed$' || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    present=yes
    for name in slurmctld slurmd sbatch srun munged; do command -v "$name" >/dev/null || present=no; done
    [ $present = yes ] || echo "install.sh: no Slurm here, and no apt-get to install it with: the Slurm tests will be skipped"
elif [ "$(id -u)" -ne 0 ]; then
    echo "install.sh: not root, so the Slurm tests will be skipped; as root: apt-get install --no-install-recommends ${missing[*]}"
else
    echo "install.sh: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Where services are started after an installation, these are not wanted: the tests start their own.
    made=
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        made=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$made"
        chmod 755 "$made"
        trap 'rm -f "$made"' EXIT
    fi
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
        echo "install.sh: apt-get failed, so the Slurm tests will be skipped"
fi
