"""Ops that work on each step by itself, and so in batch-major and in step form alike."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from export.flow import Flow, Site


def elementwise(site: Site, compute: Callable[[ir.Value], ir.Value]) -> tuple[Flow, ...]:
    """The flow of ``compute`` of the only input; recurrent layers around it stay in step form."""
    (x,) = site.inputs
    return (site.flow(lambda: compute(x.value()), lambda layout: compute(x.steps(layout)), root=x),)
