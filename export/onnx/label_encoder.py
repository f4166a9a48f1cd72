"""A table of labels, ``LabelEncoder``, of the operators that ONNX keeps apart."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from export.onnx.builder import Scope

DOMAIN, VERSION = "ai.onnx.ml", 2


def label_encoder(scope: Scope, labels: ir.Value, **attributes: Any) -> ir.Value:
    """The node's output for ``labels``; a model with it has to import `DOMAIN`."""
    output = ir.Value(name=scope.builder.value_name(f"{scope.name}/ids"))
    name = scope.builder.node_name(f"{scope.name}/LabelEncoder")
    node = ir.node("LabelEncoder", [labels], attributes, domain=DOMAIN, outputs=[output], name=name)
    scope.builder.nodes.append(node)
    return output
