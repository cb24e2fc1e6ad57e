"""Staying with jobs until they have ended."""
