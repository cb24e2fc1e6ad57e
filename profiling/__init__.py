"""What is learned from runs: the records of their steps, and what can be read out of them."""
