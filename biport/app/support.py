"""What is supported, read off the registries of all sides; the README's table is made here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from biport import ops
from biport.registry import Registry, snake_case
from biport.tables import markdown_table

SIDES = ("reference", "Keras read", "Keras write", "torch read", "torch write", "ONNX write")


def support_rows() -> list[dict[str, Any]]:
    """One row an op: its name, and for each side whether it is registered there.

    Raises:
        ModuleNotFoundError: a side's framework is not installed.
    """
    registries = _registries()
    return [
        {"op": op.__name__} | {side: snake_case(op.__name__) in registries[side] for side in SIDES}
        for op in ops.op_classes()
    ]


def _registries() -> dict[str, set[str]]:
    """For each side the snake-case names of the ops that are registered there."""
    reference = importlib.import_module("biport.reference")
    importlib.import_module("keras_side.read")
    keras_registry = importlib.import_module("keras_side.registry").READERS
    operations = importlib.import_module("keras_side.reading.mask_expressions").OPERATIONS
    data_operations = importlib.import_module("keras_side.reading.operations").SUPPORTED
    importlib.import_module("torch_side")
    torch_registry = importlib.import_module("torch_side.registry")
    importlib.import_module("export.build")
    readers = [keras_registry.lookup(name, name) for name in keras_registry]
    return {
        "reference": _names(reference.REFERENCES),
        "Keras read": {_home(reader.read) for reader in readers}
        # Ops that no layer is: Keras makes masks of them.
        | {_home(reader.masks) for reader in readers}
        | {snake_case(name) for name in (*operations, *data_operations)},
        "Keras write": _names(importlib.import_module("keras_side.registry").WRITERS),
        "torch read": {_home(torch_registry.READERS.lookup(key, "")) for key in torch_registry.READERS},
        "torch write": _names(torch_registry.WRITERS),
        "ONNX write": _names(importlib.import_module("export.registry").WRITERS),
    }


def _names(registry: Registry) -> set[str]:
    return {snake_case(op.__name__) for op in registry}


def _home(function: Callable) -> str:
    """The op a reader belongs to: the name of its file."""
    return function.__module__.rpartition(".")[2]


def support_table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    cells = [[row["op"], *("yes" if row[side] else "-" for side in SIDES)] for row in rows]
    return markdown_table([["op", *SIDES], *cells])
