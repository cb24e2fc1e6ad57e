"""python -m launch sites: the table, one site, and a file made of what Slurm tells."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.backends.slurm.site_file import Told
from launch.cli import sites
from launch.errors import Refusal
from launch.plan import site, this_site


@pytest.fixture(autouse=True)
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A machine without Slurm that is no known site."""
    for known in map(site.load, site.names()):
        if "env" in known.identify:
            monkeypatch.delenv(known.identify["env"], raising=False)
    monkeypatch.delenv("RANKLOOP_SITE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def run(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert sites.main(list(words)) == 0
    return capsys.readouterr().out


def test_the_table_has_each_site_and_marks_this_machine(capsys: pytest.CaptureFixture):
    lines = run(capsys).splitlines()
    assert [line[3:].split()[0] for line in lines[1:-3]] == site.names()
    assert [line[3:].split()[0] for line in lines if line.startswith("*")] == ["laptop"]
    assert lines[-1] == "this machine is laptop: no Slurm answers here"
    (frontier,) = [line for line in lines if " frontier " in line]
    assert "8 GPUs, 56 cores" in frontier and "Frontier (OLCF)" in frontier
    assert all(len(line) <= 132 for line in lines if "any " not in line and "laptop" not in line)  # of a wide terminal
    assert run(capsys, "frontier").startswith("recognised by            LMOD_SYSTEM_NAME=frontier\n")
    assert run(capsys, "lumi-g").startswith("recognised by            --site lumi-g only\n")


@pytest.mark.parametrize("name", [name for name in site.names() if "env" in site.load(name).identify])
def test_each_site_is_recognised_by_its_variable(
    name: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    identify = site.load(name).identify
    monkeypatch.setenv(identify["env"], identify["is"])
    said = run(capsys)
    assert said.endswith(f"this machine is {name}: {identify['env']}={identify['is']}\n")
    monkeypatch.setenv(identify["env"], "another")
    assert "this machine is laptop" in run(capsys)


def test_the_modulefile_or_the_user_may_say_which_site_it_is(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NERSC_HOST", "perlmutter")
    monkeypatch.setenv("RANKLOOP_SITE", "frontier")
    assert run(capsys).endswith("this machine is frontier: RANKLOOP_SITE=frontier\n")
    monkeypatch.setenv("RANKLOOP_SITE", "frontire")
    with pytest.raises(Refusal, match="there is no site 'frontire': did you mean 'frontier'"):
        sites.main([])


def test_host_names_of_bridges2():
    assert this_site.detect({}, "br012.ib.bridges2.psc.edu")[0].name == "bridges2"
    assert this_site.detect({}, "bridges2.psc.edu.example.org")[0].name == "laptop"


def test_an_own_file_is_said_and_checked(capsys: pytest.CaptureFixture, tmp_path: Path):
    own = tmp_path / "ours.toml"
    own.write_text('partition = "gpu"\ngpus_per_node = 2\nenv = {A = "b c"}\npartitions.cpu.max_nodes = 4\n')
    lines = run(capsys, str(own)).splitlines()
    assert {"name                     ours", "gpus_per_node            2", "env.A                    b c"} <= set(lines)
    assert lines[-1] == (
        "not known                limits of partition gpu, cores of a node (-c), network interface (network_interface)"
    )
    own.write_text("gpu_per_node = 2")
    with pytest.raises(Refusal, match="unknown key 'gpu_per_node': did you mean"):
        sites.main([str(own)])


@pytest.mark.parametrize(
    "words", [["--all"], ["new", "--nmae", "x"], ["new", "--name"], ["new", "--name", "a\nb"], ["frontier", "lumi-g"]]
)
def test_other_words_are_refused(words: list[str]):
    with pytest.raises(Refusal, match="give a site's name or file, 'new'|of sites: |--name"):
        sites.main(words)


def test_without_slurm_none_can_be_written():
    with pytest.raises(Refusal, match=r"no Slurm, PBS or Flux answers here \(no answer\): do it where"):
        sites.main(["new"])


# In the form in which Slurm 22.05 answers; the nodes are those that Bridges-2's sinfo lists, with 40 CPUs each.
CONFIG = """Configuration data as of 2026-03-01T12:00:00
ClusterName             = bridges
MaxArraySize            = 2001
MpiDefault              = none
SelectType              = select/cons_tres
SLURM_VERSION           = 22.05.8
"""
PARTITIONS = """\
PartitionName=RM AllowAccounts=ALL Default=YES MaxNodes=50 MaxTime=3-00:00:00 State=UP TotalNodes=488
PartitionName=GPU AllowAccounts=ALL Default=NO MaxNodes=UNLIMITED MaxTime=2-00:00:00 State=UP TotalNodes=43
PartitionName=old.gpu AllowAccounts=ALL Default=NO MaxNodes=64 MaxTime=UNLIMITED State=DOWN TotalNodes=60
"""
NODES = """\
RM*|488|128|(null)
GPU|23|40|gpu:v100-32:8
GPU|9|40|gpu:v100-16:8
GPU|1|96|gpu:v100-32:16(S:0-95)
GPU|10|40|gpu:h100-80:8(S:0-1),shard:8
old.gpu|60|16|gpu:2
"""
MPI = "MPI plugin types are...\n\tpmi2\n\tnone\n\tpmix\nspecific pmix plugin versions available: pmix_v4\n"


def written(**replaced: str) -> site.Site:
    told = {"config": CONFIG, "partitions": PARTITIONS, "nodes": NODES, "mpi": MPI} | replaced
    text = Told(**told).text()
    return site.from_table(tomllib.loads(text), "new")


def test_the_partition_with_gpus_is_taken_and_its_commonest_node():
    made = written()
    assert (made.name, made.partition, made.gpus_per_node, made.cpus_per_node) == ("bridges", "GPU", 8, 40)
    assert (made.gpu_type, made.gpu_request, made.mpi, made.nodes) == ("v100-32", "gpus-per-node", "pmix", 488)
    assert made.partitions == {
        "RM": {"max_nodes": 50, "max_time": "3-00:00:00"},
        "GPU": {"max_nodes": 43, "max_time": "2-00:00:00"},
        "old.gpu": {"max_nodes": 60},
    }


def test_a_default_partition_with_gpus_is_taken_before_a_larger_one():
    made = written(nodes="RM*|2|16|gpu:1\nGPU|100|40|gpu:8\n")
    assert (made.partition, made.gpus_per_node, made.gpu_type) == ("RM", 1, None)


def test_older_ways_of_sharing_nodes_need_gres():
    assert written(config=CONFIG.replace("cons_tres", "cons_res")).gpu_request == "gres"


def test_what_slurm_does_not_tell_stays_out():
    made = written(nodes="RM*|488|128|(null)\n", mpi="", config="ClusterName = bare\n")
    assert (made.partition, made.gpus_per_node, made.gpu_type, made.mpi) == ("RM", None, None, None)
    assert (made.network_interface, made.identify, made.modules) == (None, {}, [])


def test_every_line_says_which_command_it_is_from():
    text = Told(config=CONFIG, partitions=PARTITIONS, nodes=NODES, mpi=MPI).text()
    for line in text.splitlines():
        if line and not line.startswith(("#", "description")):
            assert any(said in line for said in ("# scontrol show", "# sinfo", "# srun --mpi=list")), line
    assert "but 10 nodes have 8 GPUs h100-80, 40 CPUs; 9 nodes have 8 GPUs v100-16" in text


@settings(deadline=None)  # a loaded machine is slow
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_is_written_as_it_is(name: str):
    text = Told(config=CONFIG, partitions=PARTITIONS, nodes=NODES, mpi=MPI, name=name).text()
    assert tomllib.loads(text)["name"] == name
