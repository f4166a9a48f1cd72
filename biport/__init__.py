"""biport: recurrent models between Keras, PyTorch and ONNX, proven to compute the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Graph", "__version__", "verify"]

if TYPE_CHECKING:
    from biport.app.verify import verify
    from biport.graph import Graph


def __getattr__(name: str):
    # numpy takes a third of the time of `biport --help`, so nothing is imported before it is asked for.
    if name == "Graph":
        from biport.graph import Graph

        return Graph
    if name == "verify":
        from biport.app.verify import verify

        return verify
    raise AttributeError(f"module 'biport' has no attribute {name!r}")
