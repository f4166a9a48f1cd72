"""A frozen model to an ONNX protobuf by tf2onnx; what it cannot convert is told by layer."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from biport.errors import BiportError, UnsupportedError, UnsupportedModelError
from export.onnx.target import OPSET
from export.tf2onnx.frozen import INPUT, OUTPUT, frozen
from export.tf2onnx.live_model import LiveModel, layer_title
from export.tf2onnx.placeholders import DOMAIN, OpOf, Placeholder, handlers, with_placeholders
from export.tf2onnx.scopes import Scopes

NOISY = ("", "tensorflow", "tf2onnx")
"""Loggers that warn of what does not concern who exports; tf2onnx uses the root, too."""
CONVERTED = "layers that TensorFlow can trace, of operators that tf2onnx converts"
MESSAGE = 300
"""Characters kept of a foreign error."""


@dataclass
class Attempt:
    """What came of a conversion.

    Args:
        proto: the ONNX protobuf; ``None`` where there is none.
        placeholders: the layers kept whole.
        complaints: what was not converted.
    """

    proto: Any = None
    placeholders: list[Placeholder] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


@dataclass(frozen=True)
class Complaint:
    """Something that has no form in ONNX on this route.

    Args:
        setting: what it is, for an `UnsupportedError`.
        value: the operator, or a foreign message.
        where: a text that names the operator.
    """

    setting: str
    value: str
    where: str


def converted(
    live: LiveModel, op_of: OpOf | None, scopes: Scopes | None = None, opset: int = OPSET
) -> tuple[Any, list[Placeholder]]:
    """The protobuf, its inputs called ``in_0``, ``in_1`` and its outputs ``out_0``, ``out_1``.

    Args:
        live: the model.
        op_of: the op of a layer that is to be kept whole.
        scopes: whose scopes nodes are to be in.
        opset: of tf2onnx' operators.

    Raises:
        UnsupportedError: tf2onnx cannot express something; all such layers are named.
    """
    attempt = _attempt(live, op_of, scopes, opset)
    if not attempt.complaints:
        return attempt.proto, attempt.placeholders
    if scopes is None:
        scopes = Scopes(live.model)
        attempt = _attempt(live, op_of, scopes, opset)
    raise refusal(live, attempt.complaints, scopes)


def traceable(live: LiveModel) -> Any:
    """The model as `frozen` has it.

    Raises:
        UnsupportedError: TensorFlow cannot trace it; the layer is named.
    """
    scopes = Scopes(live.model)
    try:
        with _quiet():
            return frozen(live, scopes)
    except BiportError:
        raise
    except Exception as error:  # Layers and TensorFlow may raise anything.
        raise refusal(live, [_raised(error)], scopes) from error


def refusal(live: LiveModel, complaints: Sequence[Complaint], scopes: Scopes) -> UnsupportedError:
    """Why a model has no form in ONNX on this route, by layer, as far as the complaints name one."""
    problems: dict[str, UnsupportedError] = {}
    for complaint in complaints:
        layer = scopes.layer(complaint.where)
        owner = live.owner if layer is None else f"{live.owner}: {layer_title(layer)}"
        error = UnsupportedError(owner, complaint.setting, complaint.value, CONVERTED)
        if layer is not None:
            error.of_layer(layer.name, type(layer).__name__)
        problems.setdefault(str(error), error)
    return UnsupportedModelError(live.owner, list(problems.values()))


def _attempt(live: LiveModel, op_of: OpOf | None, scopes: Scopes | None, opset: int) -> Attempt:
    known = op_of or (lambda layer: None)
    attempt = Attempt()
    with _quiet() as failures, with_placeholders(live.model, known) as attempt.placeholders:
        try:
            attempt.proto = _convert(frozen(live, scopes), len(live.inputs), len(live.outputs), opset)
        except BiportError:
            raise
        except Exception as error:  # Layers, TensorFlow and tf2onnx may raise anything.
            attempt.complaints.append(_raised(error))
    if attempt.proto is not None:
        attempt.complaints += _foreign(attempt.proto.graph)
    told = {complaint.where for complaint in attempt.complaints}
    attempt.complaints += [
        Complaint("operator", name.rpartition("/")[2], name) for name in failures if name not in told
    ]
    return attempt


def _raised(error: Exception) -> Complaint:
    return Complaint("trace", first_line(error), str(error))


def first_line(error: Exception) -> str:
    """A foreign error in one line, without what Keras writes around it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Exception encountered when calling")]
    return f"{type(error).__name__}: {(told or lines or [''])[0]}"[:MESSAGE]


def _convert(graph: Any, inputs: int, outputs: int, opset: int) -> Any:
    import tensorflow as tf
    import tf2onnx

    with tf.device("/CPU:0"):
        proto, _ = tf2onnx.convert.from_graph_def(
            graph,
            input_names=[f"{INPUT}{index}:0" for index in range(inputs)],
            output_names=[f"{OUTPUT}{index}:0" for index in range(outputs)],
            opset=opset,
            custom_op_handlers=handlers(),
        )
    return proto


def _foreign(graph: Any) -> Iterator[Complaint]:
    """The operators that tf2onnx kept as they are; it only logs that it did."""
    import onnx

    for node in graph.node:
        if node.domain != DOMAIN and not onnx.defs.has(node.op_type, node.domain):
            yield Complaint("operator", node.op_type, node.name)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _foreign(attribute.g)


class _Failures(logging.Handler):
    """The operators over which tf2onnx logged an error and went on."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Failed to convert node") and isinstance(record.args, Sequence):
            self.names.append(str(record.args[0]))


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """No logging and no warnings of tensorflow and tf2onnx; what tf2onnx failed over is in the list."""
    loggers = [logging.getLogger(name) for name in NOISY]
    before = [(logger, logger.level, logger.propagate, logger.handlers) for logger in loggers]
    failures = _Failures()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
        logger.propagate, logger.handlers = False, [failures]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield failures.names
    finally:
        for logger, level, propagate, kept in before:
            logger.setLevel(level)
            logger.propagate, logger.handlers = propagate, kept
