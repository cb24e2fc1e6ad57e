"""From a command line to running ranks: ``python -m launch [JOB OPTIONS] WORKLOAD [WORKLOAD OPTIONS]``."""
