"""Macro settings and recipes of a network, tuned with Optuna on Ray Tune."""
