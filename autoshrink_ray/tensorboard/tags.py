"""Tags of the streams; what stands before the slash is the group on the SCALARS page.

Of a search by round: score, quality, cost and work. Of a search by evaluation: evaluations. Of a
candidate: curve by epoch, and result.
"""

BEST_SCORE = "score/best"
MEAN_SCORE = "score/mean"
MACS = "cost/MACs"
PARAMS = "cost/params"
EDGES = "cost/edges left"
SECONDS = "work/seconds"
BUSY = "work/workers busy"
FAILURES = "work/failures"
CACHE_HITS = "work/cache hits"

SCORE = "evaluations/score"
BEST_SO_FAR = "evaluations/best score"
FAILED_SO_FAR = "evaluations/failures"
CACHED_SO_FAR = "evaluations/cache hits"

CELL = "cell"
IMPORTANCE = "edge importance"
PARETO = "quality against MACs"
CONFIGURATION = "configuration"
FOUND = "found cell"


def quality(metric: str) -> str:
    """Quality of the winners."""
    return f"quality/{metric}"


def curve(metric: str) -> str:
    """Quality of a candidate after each epoch."""
    return f"curve/{metric}"


def result(name: str) -> str:
    """What a candidate reached."""
    return f"result/{name}"
