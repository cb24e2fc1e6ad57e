"""The verb doctor."""
