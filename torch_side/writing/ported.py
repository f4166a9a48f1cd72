"""The module that a graph is written as."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import fx

from biport.graph import Value


class Ported(fx.GraphModule):
    """A written module; ``print(module.code)`` shows its ``forward``."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as torch.fx does, by its source, and with what its statements were written for."""
        make, parts = super().__reduce__()
        return _restored, (make, parts, [node.meta for node in self.graph.nodes])

    @property
    def code(self) -> str:
        """The source of ``forward``, without the statements by which torch.fx frees what it is done with."""
        return re.sub(r";  (\w+ = )+None$", "", super().code, flags=re.MULTILINE)

    @property
    def input_values(self) -> tuple[Value, ...]:
        """The graph's inputs: names, shapes and dtypes, in the order of ``forward``'s arguments."""
        return self.meta["inputs"]

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the graph's outputs, in order."""
        return self.meta["outputs"]

    @property
    def id_bounds(self) -> dict[str, int]:
        """For each input of ids: the number they are below; see `biport.inputs.id_bounds`."""
        return self.meta["bounds"]

    @property
    def needs_steps(self) -> dict[str, int]:
        """The inputs and lengths that must be of some steps; see `biport.analysis.lengths.needed_steps`."""
        return self.meta["needs_steps"]

    @property
    def paths(self) -> dict[str, str]:
        """Where the module of each graph node is: ``{node name: submodule path}``."""
        return self.meta["paths"]


def _restored(
    make: Callable[..., fx.GraphModule], parts: Sequence[Any], metas: Sequence[dict[str, Any]]
) -> Ported:
    plain = make(*parts)
    for node, meta in zip(plain.graph.nodes, metas, strict=True):
        node.meta |= meta
    module = Ported(plain, plain.graph, class_name="Ported")
    module.meta |= parts[0]["meta"]
    return module
