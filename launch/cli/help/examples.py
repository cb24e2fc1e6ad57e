"""The examples at the end of each help text. They are run by tests, in this order and in one folder."""

from launch.errors import program

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("--nodes 2 train.py --epochs 3", "a script on two nodes"),
        ("--nodes 1,2,4 --repeats 3 --name scaling train.py", "a scaling study"),
        ("--nodes 16 --site perlmutter -A m1234_g -t 2:00:00 --dry-run train.py", "only the plan and the job script"),
        ("--nodes 2 --sweep lr=1e-3,1e-2 train.py --lr {lr}", "a parameter sweep"),
    ),
    "WORKLOAD": (
        ("--nodes 2 workloads.mnist --epochs 3 --network cnn", "a workload with options of its own"),
        ("--nodes 1,2,4 --sweep lr=0.01,0.1 workloads.mnist", "a study over nodes and one of its options"),
    ),
    "demo": (("demo", "make a scaling study, its table, its prediction and its report"),),
    "workloads": (("workloads", "what comes along, which data each needs, how long it takes"),),
    "new": (
        ("new my_model.py", "write a workload to start from"),
        ("--nodes 2 my_model.py", "train it on two ranks"),
    ),
    "doctor": (("doctor", "check this environment"),),
    "sites": (
        ("sites", "all sites, and which one this machine is"),
        ("sites perlmutter", "check a site file and show it"),
        ("sites new --name mine > mine.toml", "describe this Slurm in a file"),
    ),
    "completion": (
        ('completion bash >> ~/.bash_completion', "complete commands in every bash to come"),
        ("completion zsh", "print the script for zsh"),
    ),
    "list": (("list", "everything in the folder runs"),),
    "status": (
        ("status", "all runs in the folder runs"),
        ("status scaling", "one study"),
        ("status scaling --advice", "what to ask for next time"),
    ),
    "logs": (
        ("logs scaling/n1-r1", "what all ranks have printed"),
        ("logs scaling/n2-r1 --rank 1 -n 5", "the last lines of one rank"),
    ),
    "diff": (("diff scaling/n1-r1 scaling/n1-r2", "what differs between two runs"),),
    "du": (("du", "how much room everything takes"), ("du scaling", "a study, run by run")),
    "resume": (
        ("resume scaling", "run what the study lacks"),
        ("resume scaling/n1-r1 --time 2:00:00", "continue one run, with another time limit"),
    ),
    "extend": (
        ("extend scaling --nodes 8 --dry-run", "see what a further point would be"),
        ("extend scaling --repeats 4", "run every point once more"),
    ),
    "cancel": (("cancel scaling", "end all its runs"), ("cancel scaling/n1-r1", "end one run")),
    "summary": (("summary scaling/n2-r1", "one screen on a run"),),
    "watch": (("watch scaling/n2-r1 --once", "look once"), ("watch scaling/n2-r1", "stay until the run ends"),
        ("watch", "everything in the folder runs")),
    "trace": (("trace profile.xplane.pb --top 20", "a trace of TensorFlow's or JAX's profiler"),),
    "compare": (
        ("compare scaling/n1-r1 scaling/n2-r1", "two runs side by side"),
        ("compare before after --fail-if-slower 5%", "two studies, in a test of performance"),
    ),
    "report": (
        ("report scaling", "print the table, and write runs/scaling/report/"),
        ("report table.csv --out report", "of a table that was made elsewhere"),
        ("report scaling --format markdown", "the table for a README"),
    ),
    "table": (("table scaling", "the results of all points"), ("table scaling --by throughput", "sorted by one")),
    "predict": (
        ("predict scaling --nodes 8,64", "throughput, time and hours on more nodes"),
        ("predict table.csv --kind weak --workers 64 --save predicted.json", "of a table, kept to be scored later"),
    ),
    "score": (
        ("score predicted.json measured.csv", "a saved prediction against measurements"),
        ("score scaling scaling", "what was predicted from a study against the points that it has got since"),
    ),
    "simulate": (("simulate resnet50-dlperf --nodes 1,16,256", "a model that comes with the toolkit"),),
    "export": (
        ("export scaling --to csv", "print a row per run"),
        ("export scaling --to parquet --out scaling.parquet", "write a file"),
    ),
    "mllog": (("mllog scaling/n2-r1 --benchmark deepcam --org us", "print the log"),),
    "rm": (("rm scaling --dry-run", "see what would go"), ("rm scaling --yes", "remove a study without a question")),
}  # fmt: skip


def of(verb: str) -> str:
    """Return the examples of a verb; for ``""``, those of the command itself."""
    rows = [(f"{program()} {words}", what) for words, what in EXAMPLES[verb]]
    width = max(len(line) for line, _ in rows)
    if width > 72:
        return "\n".join(["examples", *(f"  {line}\n      {what}" for line, what in rows)])
    return "\n".join(["examples", *(f"  {line:<{width}}  {what}" for line, what in rows)])
