"""`ops.ActivityRegularization`: nothing at inference."""

from __future__ import annotations

from biport.ops import ActivityRegularization
from export.registry import Flow, Site, writes


@writes(ActivityRegularization)
def write_activity_regularization(op: ActivityRegularization, site: Site) -> tuple[Flow, ...]:
    """The input itself; no node is written."""
    return (site.inputs[0],)
