"""`ops.Activation`, by `export.activations`."""

from __future__ import annotations

from biport.ops import Activation
from export.activations import activate
from export.elementwise import elementwise
from export.registry import Flow, Site, writes


@writes(Activation)
def write_activation(op: Activation, site: Site) -> tuple[Flow, ...]:
    """Any shape."""
    return elementwise(site, lambda x: activate(site.scope, op.function, x))
