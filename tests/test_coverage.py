"""Every op is there on every side, in the file of its family, which has one name everywhere."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import testing.frameworks  # noqa: F401  # isort: skip

# Filled by importing what reads and writes.
import export.build  # noqa: F401
import keras_side.registry
import torch_side.read
import torch_side.registry
import torch_side.write
from biport.ops import Op, op_classes
from biport.reference import REFERENCES
from biport.registry import Registry
from export.registry import WRITERS as EXPORT_WRITERS
from keras_side.read import readable_ops

ROOT = Path(__file__).parents[1]
OPS = {op.__name__: op for op in op_classes()}
SIDES: Mapping[str, Registry] = MappingProxyType(
    {
        "biport/reference": REFERENCES,
        "keras_side/ops": keras_side.registry.WRITERS,
        "torch_side/ops": torch_side.registry.WRITERS,
        "export/ops": EXPORT_WRITERS,
    }
)
"""By folder: which function computes or writes which op."""


def family(op: type[Op]) -> str:
    """The file of the op in ``biport/ops``."""
    return op.__module__.rpartition(".")[2]


def stands_in(function: Any, folder: str, op: type[Op]) -> bool:
    """Whether a function is written down in the file of the op's family, or is made there by a shared one."""
    file = f"{folder}/{family(op)}.py"
    module = function.__module__.replace(".", "/")
    if f"{module}.py" == file:
        return True
    shared = module.startswith(f"{folder.partition('/')[0]}/shared/")
    return (
        shared and "<locals>" in function.__qualname__ and f"ops.{op.__name__}" in (ROOT / file).read_text()
    )


@pytest.mark.parametrize("folder", SIDES)
@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_side_has_the_op_in_its_family(folder: str, op: type[Op]) -> None:
    assert stands_in(SIDES[folder].lookup(op, "test"), folder, op)


def test_families_have_one_name_everywhere() -> None:
    families = {family(op) for op in OPS.values()}
    for folder in ("biport/ops", *SIDES):
        assert families <= {path.stem for path in (ROOT / folder).glob("*.py")}, folder


def test_keras_reads_every_op() -> None:
    # Keras has no function for one step of each row; it is written as others.
    assert readable_ops() | {OPS["StepAt"]} >= {*OPS.values()}


@pytest.mark.parametrize("layer", list(keras_side.registry.READERS))
def test_a_keras_layer_is_read_in_the_family_of_its_op(layer: str) -> None:
    reader = keras_side.registry.READERS.lookup(layer, layer)
    assert stands_in(reader.read, "keras_side/ops", reader.op)


ATEN_OF = {"mask": "elementwise", "shape": "shaping", "time_distributed": "shaping"}
"""Families whose ops aten has no operators of their own for, and where they are read.

A layer at every step is a reshape, the layer, and a reshape.
"""


def test_every_reader_of_torch_stands_in_a_family() -> None:
    layers, aten = torch_side.registry.READERS, torch_side.registry.ATEN
    families = {family(op) for op in OPS.values()}
    of_layers = {layers.lookup(key, "test").__module__ for key in layers}
    of_aten = {aten.lookup(key, "test").__module__ for key in aten}
    assert all(home.startswith(("torch_side.ops.", "torch_side.shared.")) for home in of_layers), of_layers
    assert all(home.startswith("torch_side.reading.aten.") for home in of_aten), of_aten
    read = {home.rpartition(".")[2] for home in of_layers | of_aten}
    assert {name for name in families if ATEN_OF.get(name, name) not in read} == set()


def test_an_op_without_its_files_is_found() -> None:
    class Telepathy(Op):
        """Known to nobody."""

    assert Telepathy in op_classes()
    assert not any(Telepathy in registry for registry in SIDES.values())
    assert Telepathy not in readable_ops()
    del Telepathy
    gc.collect()
    assert [op.__name__ for op in op_classes()] == list(OPS)


def test_a_function_of_another_family_is_found() -> None:
    lookup = SIDES["export/ops"].lookup
    assert not stands_in(lookup(OPS["LSTM"], ""), "export/ops", OPS["Dense"])
    assert not stands_in(lookup(OPS["Dense"], ""), "export/ops", OPS["LSTM"])
