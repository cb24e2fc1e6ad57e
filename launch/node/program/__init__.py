"""The user's program within a rank: run in the rank's process, or as its child."""
