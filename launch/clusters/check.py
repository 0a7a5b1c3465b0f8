"""All rules on a document."""

from __future__ import annotations

from launch.clusters import rules
from launch.clusters.document import Document
from launch.clusters.rule import RULES, Finding

assert rules.TOPICS, "rules register themselves when their modules are imported"  # noqa: S101


def check(document: Document) -> list[Finding]:
    """What is wrong with a cluster, rule by rule in the order of their topics."""
    return [
        Finding(rule.name, rule.level, *fault)
        for rule in RULES.values()
        if document.kind in rule.kinds
        for fault in rule.find(document)
    ]
