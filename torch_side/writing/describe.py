"""What the docstrings of ``model.py`` say: where it is from, what it takes and gives, which masks there are.

All names in them were chosen by somebody else: nothing of a name gets there that could end the docstring, or
show other than it is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from biport.analysis.lengths import Least
from biport.graph import Graph
from biport.inputs import id_bounds
from biport.ops import FeaturesNotEqual, NotEqual
from biport.ops.windows import extent
from biport.version import __version__
from torch_side.names import ORIGIN
from torch_side.writing.code import INDENT, WIDTH

LONGEST = 60
UNSAFE = '"\\`<>|[]'
"""What a docstring or Markdown would take for more than a sign."""


def plain(text: str, longest: int = LONGEST) -> str:
    """A text of somebody else's as it may stand in a docstring: printable ASCII and letters, not too long."""
    clean = "".join(
        sign if (sign.isalnum() or (sign.isascii() and sign.isprintable())) and sign not in UNSAFE else "?"
        for sign in text
    )
    return clean if len(clean) <= longest else clean[: longest - 3] + "..."


def origin_of(graph: Graph) -> str:
    """``Keras 3.15.1``."""
    framework = graph.origin.get("framework", "")
    named = {"keras": "Keras", "torch": "PyTorch"}.get(framework, framework)
    return plain(f"{named} {graph.origin.get('version', '')}".strip())


def module_docstring(graph: Graph, model: str) -> list[str]:
    """The lines at the top of the file."""
    origin = f" of {origin_of(graph)}" if origin_of(graph) else ""
    return [
        f'"""A model{origin} as plain PyTorch, written by biport {__version__}.',
        "",
        "    from model import load",
        "",
        "    model = load()  # in eval mode, with the weights beside this file",
        "",
        "``python model.py --check`` compares what it computes here with the numbers that it",
        "was delivered with.",
        '"""',
    ]


def class_docstring(graph: Graph, arguments: Sequence[str], steps: Mapping[str, Least]) -> list[str]:
    """The lines under the head of the class: inputs, outputs and masks.

    Args:
        graph: the model.
        arguments: what its inputs are called.
        steps: how many some of them must have, or of what height they must be.
    """
    bounds = id_bounds(graph)
    lines = ["Args:"]
    for value, name in zip(graph.inputs, arguments, strict=True):
        ids = f", ids below {bounds[value.name]}" if value.name in bounds else ""
        if value.name in steps:
            ids += f", {_at_least(steps[value.name])}"
        called = "" if plain(value.name) == name else f"; {plain(value.name)!r} before"
        lines += _item(f"{name}: {value.tensor.dtype} {_shape(value.tensor)}{ids}{called}.")
    lines += ["", "Returns:"]
    lines += [
        line
        for name in graph.outputs
        for line in _item(f"{plain(name)}: {graph.tensors[name].dtype} {_shape(graph.tensors[name])}.")
    ]
    if masks := list(masks_of(graph)):
        lines += ["", "Masks:", *(line for mask in masks for line in _item(mask))]
    summary = f"{_letters(graph)}"
    return [f'{INDENT}"""{summary}', "", *(f"{INDENT}{line}".rstrip() for line in lines), f'{INDENT}"""']


def _at_least(least: Least) -> str:
    if least.axis in ("", "steps"):
        return f"{least.size} or more steps"
    return f"{extent(least.axis, least.size)} or more"


def cell_docstring(graph: Graph, state_count: int) -> list[str]:
    """The lines under the head of the class of a cell: what a step is given and gives.

    Args:
        graph: of the step.
        state_count: how many states it has.
    """
    x, *others = graph.inputs
    output, *_ = graph.outputs
    states, constants = others[:state_count], others[state_count:]
    given = ", ".join(f"{plain(value.name)} {_shape(value.tensor)}" for value in states)
    text = f"One step: {plain(x.name)} {_shape(x.tensor)} and the states {given}"
    if constants:
        text += ", and at every step " + ", ".join(
            f"{plain(value.name)} {value.tensor}" for value in constants
        )
    text += f", to the output {_shape(graph.tensors[output])} and the new states."
    lines = textwrap.wrap(text, WIDTH - len(INDENT) - 6)
    if len(lines) == 1:
        return [f'{INDENT}"""{lines[0]}"""']
    return [f'{INDENT}"""{lines[0]}', *(f"{INDENT}{line}" for line in lines[1:]), f'{INDENT}"""']


def _letters(graph: Graph) -> str:
    letters = sorted(
        {letter for value in graph.inputs for dim in value.shape for letter in getattr(dim, "letters", ())}
    )
    free = [letter for letter in letters if letter != "N"]
    if not free:
        return "Takes any number N of rows."
    word = "number" if len(free) == 1 else "numbers"
    return f"Takes any number N of rows, and any {word} {' and '.join(free)} of steps."


def masks_of(graph: Graph) -> Iterable[str]:
    """Each mask, and who skips the steps where it is false."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    users: dict[str, list[str]] = {}
    for node in graph.nodes:
        for mask in dict.fromkeys(filter(None, node.masks)):
            users.setdefault(mask, []).append(node.name)
    for mask, names in users.items():
        maker = makers.get(mask)
        told = plain(mask)
        if maker is not None and isinstance(maker.op, NotEqual | FeaturesNotEqual):
            told += f" ({plain(maker.inputs[0])} != {maker.op.value:g})"
        yield f"{told}: steps where it is false do not count in {', '.join(map(plain, names))}."


def _shape(tensor: object) -> str:
    return str(tensor).partition(" ")[2]


def _item(text: str) -> list[str]:
    """An indented entry, its further lines one step more."""
    width = WIDTH - len(INDENT)
    return textwrap.wrap(text, width, initial_indent=INDENT, subsequent_indent=INDENT * 2)


__all__ = ["ORIGIN", "class_docstring", "masks_of", "module_docstring", "origin_of", "plain"]
