"""What docs/deployment.md shows, executed; and Triton's configuration, parsed by its schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from typer.testing import CliRunner

import export
from biport import bundle, ops
from biport.app.cli import app
from biport.data import Vocabulary
from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from export.deploy import triton
from testing.onnx_graphs import H, I, array, chain, lstm

DOCS = Path(__file__).parents[2] / "docs" / "deployment.md"
WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
TEXTS = ["Good film!", "", "not bad"]


def shown(name: str) -> str:
    match = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert match is not None
    return match[1]


@pytest.fixture(scope="module")
def graph() -> Graph:
    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {"weight": array(rng, 1, H), "bias": array(rng, 1)}
    head = ops.Dense(input_size=H, output_size=1, activation="sigmoid", **weights)
    graph = chain(rng, lstm(rng, I, H), head)
    return Graph(graph.inputs, graph.nodes, ("layer_2",))


@pytest.fixture(scope="module")
def model(graph, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("deployed") / "m.onnx"
    export.write(graph, path, vocabulary=WORDS, labels=("no", "yes"))
    return path


def schema() -> Any:
    """The part of Triton's ``model_config.proto`` that is written, with its field numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    kinds = {"str": 9, "int32": 5, "int64": 3, "uint64": 4, "bool": 8}
    names = [
        "INVALID",
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP16",
        "FP32",
        "FP64",
        "STRING",
        "BF16",
    ]
    types = file.enum_type.add(name="DataType")
    for number, name in enumerate(names):
        types.value.add(name=f"TYPE_{name}", number=number)
    messages = {
        "ModelTensorReshape": [("shape", 1, "int64", True)],
        "ModelInput": [
            *(("name", 1, "str", False), ("data_type", 2, "DataType", False), ("dims", 4, "int64", True)),
            ("reshape", 5, "ModelTensorReshape", False),
        ],
        "ModelOutput": [
            *(("name", 1, "str", False), ("data_type", 2, "DataType", False), ("dims", 3, "int64", True)),
            *(("label_filename", 4, "str", False), ("reshape", 5, "ModelTensorReshape", False)),
        ],
        "ModelDynamicBatching": [
            *(
                ("preferred_batch_size", 1, "int32", True),
                ("max_queue_delay_microseconds", 2, "uint64", False),
            ),
            ("preserve_ordering", 3, "bool", False),
        ],
        "ModelConfig": [
            *(
                ("name", 1, "str", False),
                ("platform", 2, "str", False),
                ("max_batch_size", 4, "int32", False),
            ),
            *(("input", 5, "ModelInput", True), ("output", 6, "ModelOutput", True)),
            *(("dynamic_batching", 11, "ModelDynamicBatching", False), ("backend", 17, "str", False)),
        ],
    }
    for message, fields in messages.items():
        entry = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = entry.field.add(name=name, number=number, label=3 if repeated else 1)
            if kind in kinds:
                field.type = kinds[kind]  # type: ignore[assignment]
            else:
                field.type = 14 if kind == "DataType" else 11  # type: ignore[assignment]
                field.type_name = f".inference.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def parsed(path: Path) -> Any:
    return text_format.Parse(path.read_text(), schema()())


def dims(tensors: Any) -> list[tuple[str, int, list[int]]]:
    return [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors]


def test_a_triton_repository(graph, tmp_path):
    bundle.write(graph, tmp_path / "b", vocabulary=WORDS)
    command = ["export", str(tmp_path / "b"), "--triton", str(tmp_path / "models")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "models" / "b"
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*")) == [
        *("1", "1/model.onnx", "config.pbtxt")
    ]
    config = parsed(folder / "config.pbtxt")
    assert (config.name, config.backend, config.max_batch_size) == ("b", "onnxruntime", 64)
    assert dims(config.input) == [("ids", 8, [-1])]
    assert dims(config.output) == [("layer_2", 11, [1])]
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    assert list(export.Session(folder / "1" / "model.onnx", device="cpu").predict(TEXTS))
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    forced = CliRunner().invoke(app, [*command, "--embed-tokenizer", "--force"])
    assert forced.exit_code == 0, forced.output
    (texts,) = parsed(folder / "config.pbtxt").input
    assert (texts.name, texts.data_type, list(texts.dims)) == ("texts", 13, [1])
    assert texts.HasField("reshape")
    assert not texts.reshape.shape
    for extra in ([], ["-o", "m.onnx", "--triton", "models"]):
        assert CliRunner().invoke(app, ["export", str(tmp_path / "b"), *extra]).exit_code == 2


def test_what_triton_does_not_take(tmp_path, graph):
    with pytest.raises(InputError, match="letters, digits, - and _"):
        triton.repository_path(tmp_path, "a b")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        triton.repository_path(tmp_path / "file", "m")
    fixed = Graph((Value("x", (2, I), "float32"),), (Node("y", ops.Add(), ("x", "x")),), ("y",))
    export.write(fixed, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match=r"supported: tensors .N, "):
        triton.config(export.Session(tmp_path / "m.onnx", device="cpu"), "m")
    with pytest.raises(text_format.ParseError):
        text_format.Parse("max_batch: 3", schema()())
