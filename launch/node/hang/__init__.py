"""The watcher of a node, which finds a hang, its culprit and its stacks, and ends the run."""
