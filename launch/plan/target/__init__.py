"""What is to be run: a workload, a module, a script or a program; found and checked without running it."""
