"""What Slurm writes and sets: walltimes, lists of hosts, the variables of a job, the job around the launcher."""
