"""The job in which this process runs, whatever its scheduler is."""
