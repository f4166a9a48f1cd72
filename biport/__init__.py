"""biport: recurrent models between Keras, PyTorch and ONNX, proven to compute the same thing.

This is the front door alone: no module inside imports anything from `biport` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from biport.version import __version__

if TYPE_CHECKING:
    from biport.app.report_page.write import write_html
    from biport.app.verify import verify
    from biport.graph import Graph

__all__ = ["Graph", "__version__", "verify", "write_html"]

if not TYPE_CHECKING:  # A type checker that saw it would take any name for one of the package's.

    def __getattr__(name: str):
        # numpy takes a third of the time of `biport --help`, so nothing is imported before it is asked for.
        if name == "Graph":
            from biport.graph import Graph

            return Graph
        if name == "verify":
            from biport.app.verify import verify

            return verify
        if name == "write_html":
            from biport.app.report_page.write import write_html

            return write_html
        raise AttributeError(f"module 'biport' has no attribute {name!r}")
