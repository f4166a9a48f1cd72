"""`biport.testing.assert_weights_equal`: the weights of two models, by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from biport.app.forms import open_form
from biport.app.open_source import read_source
from biport.app.source import Source
from biport.app.testing.output import for_test
from biport.compare.localize.weights import WeightReport, compare_weights
from biport.errors import InputError
from biport.graph import Graph


def assert_weights_equal(
    a: Any, b: Any, *, tolerance: float | None = None, example: Any = None, config: Any = None
) -> WeightReport:
    """Assert that two models have the same weights, whatever framework keeps them in which layout.

    They are compared gate by gate under the names of the first, see `biport.compare.localize.weights`; what
    the two models compute with them is not, for which there is `assert_same`.

    Args:
        a: a live Keras model, a torch module, a graph, or the path of a Keras file, a bundle or a ``.pt2``.
        b: another.
        tolerance: the largest absolute difference of two numbers that is allowed; ``None``: none of any bit.
        example: how torch modules are called that do not know their inputs, see ``torch_side.read``.
        config: the configuration of Keras files that hold weights alone.

    Returns:
        What was compared.

    Raises:
        AssertionError: some differ; the message is a table of them, the worst first.
        BiportError: a model cannot be read, or has no weights. ONNX files are not read.

    Example::

        from biport.testing import assert_weights_equal

        assert_weights_equal("model.keras", module)
    """
    __tracebackhide__ = True
    report = for_test(lambda: _compare(a, b, tolerance, example, config))
    if not report.ok:
        raise AssertionError(report.text)
    return report


def _compare(a: Any, b: Any, tolerance: float | None, example: Any, config: Any) -> WeightReport:
    (one, first), (two, second) = (_read(model, example, config) for model in (a, b))
    return compare_weights(first, second, (one, two if two != one else f"{two} (2)"), tolerance)


def _read(model: Any, example: Any, config: Any) -> tuple[str, Graph]:
    """What a model is called, and its graph; nothing is made that could run it."""
    # What becomes of states makes no difference to weights.
    if isinstance(model, str | os.PathLike):
        beside = None if config is None else Path(config)
        graph, _ = read_source(Source(os.fspath(model), beside, states="zero"))
        return Path(model).name, graph
    form = open_form(model, example=example, states="zero")
    if form.graph is not None:
        return form.name, form.graph
    if form.unread is not None:
        import keras_side

        # Raises what stops it from being read.
        return form.name, keras_side.read(model)
    raise InputError(
        f"{form.name}: an ONNX graph's weights are not read; assert_same compares what it computes"
    )
