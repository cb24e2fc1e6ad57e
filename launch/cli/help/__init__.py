"""What helps with the command line."""
