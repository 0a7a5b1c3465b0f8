"""The rules, a module a topic."""

from launch.clusters.rules import (
    access,
    commands,
    keys,
    kubernetes,
    nodes,
    release,
    trials,
)

TOPICS = (keys, nodes, trials, release, access, commands, kubernetes)
