"""Runs as jobs of a Ray cluster: sending a driver to the head, watching it and stopping it."""
