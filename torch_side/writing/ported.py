"""The module that a graph is written as."""

from __future__ import annotations

import re

from torch import fx

from biport.graph import Value


class Ported(fx.GraphModule):
    """A written module; ``print(module.code)`` shows its ``forward``."""

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
