#!/usr/bin/env bash
# Installs what the tests of Slurm, of modules, of the report (as a page and as LaTeX) and of programs in Fortran need from Debian's
# packages, where that is possible; else says so, and they are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PATH:/usr/sbin:/sbin

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q ' installed$'; }

# libpmix-dev: `srun --mpi=pmix` opens libpmix.so by its full path, a link that only the -dev package has.
packages=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge libpmix-dev iproute2
    slurmdbd slurm-wlm-mysql-plugin mariadb-server-core) # these for accounting
packages+=(chromium texlive-latex-recommended gfortran)
# Lmod and Environment Modules conflict with each other: nobody's own are taken away.
installed environment-modules || packages+=(lmod)
missing=()
for name in "${packages[@]}"; do installed "$name" || missing+=("$name"); done

if [ ${#missing[@]} -eq 0 ]; then
    :
elif ! command -v apt-get >/dev/null; then
    present=yes
    for name in slurmctld slurmd sbatch srun munged; do command -v "$name" >/dev/null || present=no; done
    [ $present = yes ] || echo "install.sh: no Slurm here, and no apt-get to install it with: the Slurm tests will be skipped"
elif [ "$(id -u)" -ne 0 ]; then
    echo "install.sh: not root, so tests will be skipped; as root: apt-get install --no-install-recommends ${missing[*]}"
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
        echo "install.sh: apt-get failed, so tests will be skipped"
fi

# The other `module` command is only unpacked, into the checkout.
unpacked=.cache/environment-modules
if ! installed environment-modules && [ ! -d $unpacked ] && command -v apt-get >/dev/null; then
    mkdir -p .cache
    download=$(mktemp -d .cache/download.XXXXXX)
    if (cd "$download" && apt-get download -qq environment-modules >/dev/null 2>&1) &&
        dpkg -x "$download"/environment-modules_*.deb "$download/unpacked"; then
        mv "$download/unpacked" $unpacked
    else
        echo "install.sh: environment-modules could not be had, so its tests will be skipped"
    fi
    rm -rf "$download"
fi
