"""Checks before anything is started: can this cluster carry the run?"""
