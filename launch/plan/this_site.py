"""Finds out which site this machine is, and which scheduler takes jobs from it."""

import os
import platform
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

from launch.plan import site
from launch.plan.site import Site, load, names

FALLBACKS = {
    "slurm": "Slurm is configured here",
    "pbs": "PBS is configured here",
    "flux": "this is a Flux instance",
    "laptop": "no Slurm answers here",
}
"""Sites that are assumed if a machine is no other site, and why."""


def detect(environ: Mapping[str, str] = os.environ, host: str | None = None) -> tuple[Site, str]:
    """Return the site of this machine, and why: from RANKLOOP_SITE, the environment, the host name, or a configured
    Slurm."""
    if said := environ.get("RANKLOOP_SITE"):
        return load(said), f"RANKLOOP_SITE={said}"
    host = host or platform.node()
    known = {name: _identify(name) for name in names()}
    for name, identify in known.items():
        variable, value = identify.get("env"), identify.get("is")
        if variable and variable in environ and value in (None, environ[variable]):
            return load(name), f"{variable}={environ[variable]}"
    for name, identify in known.items():
        if "host" in identify and re.search(identify["host"], host):
            return load(name), f"host name {host}"
    name = scheduler(environ) or "laptop"
    return load(name), FALLBACKS[name]


def scheduler(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the scheduler that takes jobs from this machine, as --backend has it; None if there is none."""
    if slurm_is_here():
        return "slurm"
    return "pbs" if pbs_is_here(environ) else "flux" if flux_is_here(environ) else None


def _identify(name: str) -> dict[str, str]:
    """Return what a site of the toolkit is recognised by. Only this line of its file is parsed, as parsing all files
    takes long."""
    text = (site.FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    line = next((line for line in text.splitlines() if line.startswith("identify")), "identify = {}")
    return tomllib.loads(line)["identify"]


def slurm_is_here() -> bool:
    """Return whether this machine is a client of a Slurm cluster, even if its controller is silent just now."""
    if not shutil.which("sbatch") or not Path(os.environ.get("SLURM_CONF") or __file__).is_file():
        return False
    try:
        # It names its controllers, up or down, wherever it finds a configuration, and none elsewhere.
        ping = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=10)
    except subprocess.TimeoutExpired:
        return True
    except OSError:
        return False
    return "Slurmctld" in ping.stdout


def pbs_is_here(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this machine is a client of a PBS server, even if that is silent just now."""
    return bool(shutil.which("qsub")) and os.path.exists(environ.get("PBS_CONF_FILE") or "/etc/pbs.conf")


def flux_is_here(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether Flux takes jobs here: within one of its instances, or beside that of the system."""
    return bool(shutil.which("flux")) and ("FLUX_URI" in environ or os.path.exists("/run/flux/local"))
