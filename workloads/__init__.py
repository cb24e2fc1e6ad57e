"""What runs on the ranks: the training loop, and the workloads that it trains."""
