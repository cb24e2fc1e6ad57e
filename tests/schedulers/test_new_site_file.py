"""rankloop sites new, of what a PBS and a Flux report."""

from pathlib import Path

import pytest
from launched import facts, launch
from schedulers.fixtures import StandIn

from launch.backends.flux.site_file import Told as OfFlux
from launch.backends.pbs.site_file import Told as OfPbs
from launch.plan import site


@pytest.mark.parametrize("name", ["pbs", "flux"])
def test_the_file_that_a_scheduler_tells_plans_a_job(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stand_in: StandIn = request.getfixturevalue(f"clean_{name}")
    (tmp_path / "pbs.conf").touch()
    monkeypatch.setenv(
        *{"pbs": ("PBS_CONF_FILE", str(tmp_path / "pbs.conf")), "flux": ("FLUX_URI", "local:///here")}[name]
    )
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none"))
    new = launch("sites", "new", "--name", "ours")
    assert new.returncode == 0, new.stderr
    file = tmp_path / "ours.toml"
    file.write_text(new.stdout)
    made = site.load(str(file))
    assert (made.name, made.backend, made.nodes, made.cpus_per_node, made.gpus_per_node) == ("ours", name, 8, 8, 2)
    assert made.partition == {"pbs": "workq", "flux": "batch"}[name]
    assert made.partitions["debug"] == {"max_nodes": 2, "max_time": "00:10:00"}
    if name == "pbs":
        assert made.partitions["wide"] == {"min_nodes": 3, "max_nodes": 8}
    (tmp_path / "program.py").touch()
    words = ("--site", file, "-p", "debug", "--runs", tmp_path, "--dry-run", tmp_path / "program.py")
    planned = launch("-N", 2, "-t", 5, *words)
    assert planned.returncode == 0, planned.stderr
    assert facts(planned.stdout)["shape"] == "2 nodes x 2 ranks = 4 ranks, 2 GPUs per node"
    refused = launch("-N", 3, *words)
    assert refused.returncode == 2 and "--nodes 3 is more than" in refused.stderr
    assert not stand_in.alive()


def test_hosts_of_several_virtual_nodes_and_of_several_kinds_are_told():
    nodes = {
        **{f"a{i}[{part}]": {"resources_available": {"host": f"a{i}", "ncpus": 32, "ngpus": 2}} for i in range(3) for part in (0, 1)},
        "b": {"resources_available": {"host": "b", "ncpus": 128}},
        "down": {},
    }  # fmt: skip
    queues = {
        "Queue": {"odd name": {"queue_type": "Route", "enabled": "False", "resources_max": {"walltime": "24:00:00"}}}
    }
    text = OfPbs(server={"Server": {"pbs.site.org": {}}}, queues=queues, nodes={"nodes": nodes}).text()
    assert (
        'name = "pbs"' in text
        and "nodes = 4 " in text
        and "cpus_per_node = 64 " in text
        and "gpus_per_node = 4 " in text
    )
    assert (
        "1 hosts have 128 CPUs, no GPUs" in text
        and '[partitions."odd name"]  # qstat -Qf odd name: Route, closed' in text
    )
    assert 'max_time = "1-00:00:00"' in text or 'max_time = "24:00:00"' in text


def test_a_flux_without_queues_and_with_two_kinds_of_nodes():
    text = OfFlux(resources="4 384 16 apu\n2 128 0 \n", queues=" inf inf\n", host="tuo1004.llnl.gov").text()
    assert (
        'name = "tuo"' in text
        and "nodes = 6 " in text
        and "cpus_per_node = 96 " in text
        and "gpus_per_node = 4 " in text
    )
    assert "2 nodes have 64 cores, 0 GPUs" in text and "partition" not in text
