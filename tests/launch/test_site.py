"""Sites: the shipped ones load, mistakes are refused, and the machine is recognised in a fixed order."""

import os
import stat
from pathlib import Path

import plans
import pytest

from launch.errors import Refusal
from launch.plan import site, this_site
from launch.plan.request import Request
from launch.plan.walltime import walltime


@pytest.mark.parametrize("name", site.names())
def test_shipped_sites_load(name: str):
    loaded = site.load(name)
    assert loaded.name == name and loaded.description
    walltime(loaded.time)
    for limits in loaded.partitions.values():
        walltime(limits.get("max_time"))


def test_the_two_that_detection_falls_back_on_are_shipped():
    assert {"laptop", "slurm"} <= set(site.names())
    assert (site.load("laptop").backend, site.load("slurm").backend) == ("local", "slurm")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpu_per_node = 4", "unknown key 'gpu_per_node': did you mean 'gpus_per_node'?"),
        ("account = 'm1234'", "an account is yours, not the machine's: give it as -A"),
        ("partitions.cpu.gpus_per_node = 'a100:4'", "partitions.cpu.gpus_per_node = 'a100:4': give a whole number"),
        ("colour = 'red'", "unknown key 'colour': known: account_option, backend, "),
        ("gpus_per_node = '4'", "gpus_per_node = '4': give a whole number"),
        ("gpus_per_node = 'a100:0x4'", "gpus_per_node = a100:0x4: give 0 or more, with a type in front"),
        ("gpus_per_node = 'a100:4'\ngpu_type = 'h100'", "give one type"),
        ("gpus_per_node = true", "gpus_per_node = True: give a whole number"),
        ("partition = 5", "partition = 5: give a text"),
        ("backend = 'lsf'", "backend = 'lsf': give one of local, slurm, pbs, flux"),
        ("gpu_binding = 'cgroup'", "give one of slurm, env, framework"),
        ("modules = 'cuda'", "modules = 'cuda' is not a list"),
        ("modules = [1]", "modules = 1: give a text"),
        ("env = ['A']", "is not a table"),
        ("env = {A = 1}", "env.A = 1: give a text"),
        ("env = {'A B' = 'c'}", "env.'A B' cannot be a variable's name"),
        ('directives = {comment = "a\\nrm -rf"}', "give it without line breaks"),
        ("partitions.gpu.max_node = 4", "unknown key 'max_node' of partition 'gpu': did you mean 'max_nodes'?"),
        ("partitions.gpu.max_nodes = '4'", "partitions.gpu.max_nodes = '4': give a whole number"),
        ("partitions.gpu.max_time = 4", "partitions.gpu.max_time = 4: give a text"),
        ("partitions.gpu = 4", "partitions.gpu = 4 is not a table"),
        ("network.inter_gbit = 200", "unknown key 'inter_gbit' of network: did you mean 'inter_node_gbit_per_s'?"),
        ("network.inter_node_latency_us = 0", "network.inter_node_latency_us = 0: give a number above 0"),
        ("network.inter_node_gbit_per_s = '200'", "network.inter_node_gbit_per_s = '200': give a number above 0"),
        ("identify = {hots = 'x'}", "unknown key 'hots' of identify: did you mean 'host'?"),
        ("nodes = ", "cannot be read as TOML"),
        ("nodes = 1\nnodes = 2", "cannot be read as TOML"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, text: str, says: str):
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(Refusal) as refusal:
        site.load(str(path))
    message = str(refusal.value)
    assert says in message and message.startswith(str(path)) and "\n" not in message


def test_bytes_that_are_no_text_are_refused(tmp_path: Path):
    (tmp_path / "ours.toml").write_bytes(b"description = '\xff'")
    with pytest.raises(Refusal, match="cannot be read as TOML"):
        site.load(str(tmp_path / "ours.toml"))


def test_a_site_that_is_not_there():
    with pytest.raises(Refusal, match="there is no site 'laptpo': did you mean 'laptop'"):
        site.load("laptpo")
    with pytest.raises(Refusal, match="there is no site './ours.toml': give the path of a site file"):
        site.load("./ours.toml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # the second is what some editors write
def test_an_own_file_is_named_after_itself(tmp_path: Path, encoding: str):
    text = "backend = 'local'\nenv = {A = 'b c'}\npartitions.gpu.max_nodes = 4"
    (tmp_path / "ours.toml").write_text(text, encoding=encoding)
    found = site.load(str(tmp_path / "ours.toml"))
    assert (found.name, found.env, found.partitions) == ("ours", {"A": "b c"}, {"gpu": {"max_nodes": 4}})


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sites of our own, and a path on which there is no Slurm."""
    folder = tmp_path / "sites"
    folder.mkdir()
    for name, text in {
        "alps": "identify = {host = '^alps-login'}",
        "brenta": "identify = {env = 'SITE_NAME', is = 'brenta'}",
        "carso": "identify = {env = 'CARSO_ROOT', host = 'carso'}",
        "laptop": "backend = 'local'",
        "slurm": "",
    }.items():
        (folder / f"{name}.toml").write_text(text)
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(site, "FOLDER", folder)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return folder


@pytest.mark.parametrize(
    ("environ", "host", "expected"),
    [
        ({}, "alps-login3", ("alps", "host name alps-login3")),
        ({"SITE_NAME": "brenta"}, "alps-login3", ("brenta", "SITE_NAME=brenta")),  # environment before host
        ({"SITE_NAME": "else"}, "alps-login3", ("alps", "host name alps-login3")),
        ({"CARSO_ROOT": "/opt"}, "x", ("carso", "CARSO_ROOT=/opt")),  # any value will do
        ({}, "node1.carso.example", ("carso", "host name node1.carso.example")),
        ({}, "desk", ("laptop", "no Slurm answers here")),
        ({"SLURM_JOB_ID": "3"}, "desk", ("laptop", "no Slurm answers here")),  # a variable alone is no Slurm
    ],
)
def test_the_order_of_detection(sites: Path, environ: dict[str, str], host: str, expected: tuple[str, str]):
    found, why = this_site.detect(environ, host)
    assert (found.name, why) == expected


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("Slurmctld(primary) at head is UP", "slurm"),
        ("Slurmctld(primary) at head is DOWN", "slurm"),  # a silent controller is asked with patience later
        ("scontrol: fatal: Could not establish a configuration source", "laptop"),
    ],
)
def test_slurm_is_where_it_is_configured(sites: Path, says: str, expected: str):
    for name, text in (("sbatch", ""), ("scontrol", f"echo '{says}'")):
        command = Path(os.environ["PATH"]) / name
        command.write_text(f"#!/bin/sh\n{text}\n")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    assert this_site.detect({}, "desk")[0].name == expected
    assert this_site.detect({"SITE_NAME": "brenta"}, "desk")[0].name == "brenta"


def test_a_partition_has_the_gpus_and_cores_of_its_own_nodes():
    here = site.from_table(
        {"name": "ours", "partition": "gpu", "gpus_per_node": 4, "cpus_per_node": 64}
        | {"partitions": {"gpu": {"max_nodes": 8}, "cpu": {"gpus_per_node": 0, "cpus_per_node": 128}}},
        "ours",
    )

    def shape(**asked: str) -> tuple[int, int, int | None]:
        planned = plans.plan(Request(**asked), here)
        return planned.ranks_per_node, planned.gpus_per_node, planned.cpus_per_task

    assert shape() == (4, 4, 16) and shape(partition="cpu") == (1, 0, 128)
    assert shape(partition="another") == (4, 4, 16)
    with pytest.raises(Refusal, match="--gpus-per-node 2 is more than a node of ours has"):
        shape(partition="cpu", gpus_per_node="2")
