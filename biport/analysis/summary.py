"""What is in a model file, for a person to look at: layers, shapes, masks, numbers, and what stops a port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biport.dims import plain
from biport.errors import UnsupportedError
from biport.graph import Graph, Node
from biport.tables import text_table

HEADINGS = ("layer", "output", "parameters", "mask", "what")


@dataclass(frozen=True)
class LayerRow:
    """One layer, or one node of a graph.

    Args:
        name: its name; of a layer in a model inside, ``outer.inner``.
        what: its op with its settings; where no graph could be read, its class.
        output: shape and dtype of what it gives; empty where no graph could be read.
        parameters: how many numbers are stored for it.
        mask: the value that says which steps of its input count; empty for none.
        reasons: why it cannot be ported.
    """

    name: str
    what: str
    output: str = ""
    parameters: int = 0
    mask: str = ""
    reasons: Sequence[str] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        return self.name, self.output, f"{self.parameters:,}", self.mask, self.what


@dataclass(frozen=True)
class Inspection:
    """A model file.

    Args:
        path: the file.
        facts: what the file says of itself: its format, who wrote it.
        rows: one for each layer, or for each node of ``graph``.
        graph: the model, where it can be ported.
        problem: why it cannot.
        notes: what somebody who ports it should know.
    """

    path: Path
    facts: Mapping[str, str]
    rows: Sequence[LayerRow]
    graph: Graph | None = None
    problem: UnsupportedError | None = None
    notes: Sequence[str] = field(default=())

    @property
    def parameters(self) -> int:
        """How many numbers the model holds, shared ones counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def text(self) -> str:
        """The inspection for a terminal."""
        lines = [f"{self.path}", *(f"  {key}: {value}" for key, value in self.facts.items())]
        if self.graph is not None:
            lines += [f"  input {value.name}: {value.tensor}" for value in self.graph.inputs]
        lines += ["", *_table(self.rows), ""]
        if self.graph is not None:
            lines += [f"output {name}: {self.graph.tensors[name]}" for name in self.graph.outputs]
        lines += [f"{self.parameters:,} parameters", *(f"note: {note}" for note in self.notes)]
        return "\n".join([*lines, *self._verdict()])

    def _verdict(self) -> list[str]:
        if self.problem is None:
            return [] if self.graph is None else ["nothing stops a port"]
        count = len(self.problem.reasons())
        heading = f"{count} {'thing stops' if count == 1 else 'things stop'} a port:"
        advice = [self.problem.advice] if self.problem.advice else []
        return [heading, *(f"  {line}" for line in self.problem.lines()), *advice]

    def to_json(self) -> dict[str, Any]:
        """The inspection as plain data."""
        return {
            "path": str(self.path),
            "facts": dict(self.facts),
            "inputs": [] if self.graph is None else [_value(self.graph, v.name) for v in self.graph.inputs],
            "outputs": [] if self.graph is None else [_value(self.graph, v) for v in self.graph.outputs],
            "layers": [
                {
                    "name": row.name,
                    "what": row.what,
                    "output": row.output or None,
                    "parameters": row.parameters,
                    "mask": row.mask or None,
                    "reasons": list(row.reasons),
                }
                for row in self.rows
            ],
            "parameters": self.parameters,
            "notes": list(self.notes),
            "portable": self.graph is not None,
            "reasons": [] if self.problem is None else self.problem.reasons(),
            "advice": (self.problem and self.problem.advice) or None,
        }


def inspect_graph(
    path: Path, facts: Mapping[str, str], graph: Graph, notes: Sequence[str] = ()
) -> Inspection:
    """The inspection of a model that can be ported."""
    counted: set[int] = set()
    rows = []
    for node in graph.nodes:
        first = id(node.op) not in counted
        counted.add(id(node.op))
        rows.append(_row(graph, node, first))
    return Inspection(path, facts, rows, graph, notes=notes)


def _row(graph: Graph, node: Node, first: bool) -> LayerRow:
    """A node; numbers it shares with one above count there."""
    masks = dict.fromkeys(mask for mask in node.masks if mask is not None)
    return LayerRow(
        name=node.name,
        what=str(node.op),
        output="; ".join(str(graph.tensors[name]) for name in node.outputs),
        parameters=sum(array.size for array in node.op.weights().values()) if first else 0,
        mask=", ".join(masks),
    )


def _value(graph: Graph, name: str) -> dict[str, Any]:
    tensor = graph.tensors[name]
    return {"name": name, "dtype": tensor.dtype, "shape": list(plain(tensor.shape))}


def _table(rows: Sequence[LayerRow]) -> list[str]:
    """Aligned columns; those that are empty all the way down are left away."""
    table = [HEADINGS, *(row.cells for row in rows)]
    columns = [i for i in range(len(HEADINGS)) if any(cells[i] for cells in table[1:])]
    align = "".join(">" if HEADINGS[i] == "parameters" else "<" for i in columns)
    return text_table([[cells[i] for i in columns] for cells in table], align)
