"""A Triton repository: its configuration by Triton's own schema, and what a real server does with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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
from export.deploy.triton.repository import model_config, repository_path
from testing.onnx_graphs import H, I, array, chain, lstm
from testing.triton_server import RefusedError, batches, serving

WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
TEXTS = ["Good film!", "", "not bad"]


@pytest.fixture(scope="module")
def graph() -> Graph:
    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {"weight": array(rng, 3, H), "bias": array(rng, 3)}
    head = ops.Dense(input_size=H, output_size=3, activation="softmax", **weights)
    graph = chain(rng, lstm(rng, I, H), head)
    return Graph(graph.inputs, graph.nodes, ("layer_2",))


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
    enums = {
        "DataType": [f"TYPE_{name}" for name in names],
        "Kind": ["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"],
    }
    for enum, values in enums.items():
        added = file.enum_type.add(name=enum)
        for number, name in enumerate(values):
            added.value.add(name=name, number=number)
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
        "ModelInstanceGroup": [("count", 2, "int32", False), ("kind", 4, "Kind", False)],
        "ModelConfig": [
            *(
                ("name", 1, "str", False),
                ("platform", 2, "str", False),
                ("max_batch_size", 4, "int32", False),
            ),
            *(("input", 5, "ModelInput", True), ("output", 6, "ModelOutput", True)),
            ("instance_group", 7, "ModelInstanceGroup", True),
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
                field.type = 14 if kind in enums else 11  # type: ignore[assignment]
                field.type_name = f".inference.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def parsed(path: Path) -> Any:
    return text_format.Parse(path.read_text(), schema()())


def dims(tensors: Any) -> list[tuple[str, int, list[int]]]:
    return [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors]


def test_a_triton_repository(graph, tmp_path):
    bundle.write(graph, tmp_path / "b", vocabulary=WORDS, labels=("no", "so so", "yes"))
    command = ["export", str(tmp_path / "b"), "--triton", str(tmp_path / "models")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "models" / "b"
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*")) == [
        *("1", "1/model.onnx", "config.pbtxt", "labels.txt")
    ]
    config = parsed(folder / "config.pbtxt")
    assert (config.name, config.backend, config.max_batch_size) == ("b", "onnxruntime", 64)
    assert dims(config.input) == [("ids", 8, [-1])]
    assert dims(config.output) == [("layer_2", 11, [3])]
    assert config.output[0].label_filename == "labels.txt"
    assert (folder / "labels.txt").read_text() == "no\nso so\nyes\n"
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, 0)]
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
        repository_path(tmp_path, "a b")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        repository_path(tmp_path / "file", "m")
    fixed = Graph((Value("x", (2, I), "float32"),), (Node("y", ops.Add(), ("x", "x")),), ("y",))
    export.write(fixed, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match=r"supported: tensors .N, "):
        _ = model_config(export.Session(tmp_path / "m.onnx", device="cpu"), "m").text
    with pytest.raises(text_format.ParseError):
        text_format.Parse("max_batch: 3", schema()())


@pytest.mark.sweep
def test_a_real_server(graph: Graph, tmp_path: Path) -> None:
    """Numbers of the session, labels by Triton's own classification, and requests that become one batch."""
    bundle.write(graph, tmp_path / "b", labels=("no", "so so", "yes"))
    models = tmp_path / "models"
    result = CliRunner().invoke(app, ["export", str(tmp_path / "b"), "--triton", str(models)])
    assert result.exit_code == 0, result.output
    session = export.Session(models / "b" / "1" / "model.onnx", device="cpu", threads=1)
    ids = np.random.default_rng(0).integers(0, 13, (8, 5)).astype("int32")
    (wanted,) = session.run([ids])
    with serving(models, tmp_path) as server:
        np.testing.assert_allclose(server.infer("b", {"ids": ids})["layer_2"], wanted, atol=1e-6)
        ranked = server.infer("b", {"ids": ids}, layer_2=1)["layer_2"]
        best = [str(line).split(":") for line in ranked.ravel()]
        assert [names for _, _, names in best] == [("no", "so so", "yes")[i] for i in wanted.argmax(1)]
        with ThreadPoolExecutor(8) as pool:
            given = [{"ids": row[None]} for row in ids]
            answers = list(pool.map(lambda one: server.infer("b", one)["layer_2"], given))
        np.testing.assert_allclose(np.concatenate(answers), wanted, atol=1e-6)
        assert max(requests for requests, _ in batches(server.log, "b")) > 1
        with pytest.raises(RefusedError, match="unexpected inference input"):
            server.infer("b", {"wrong": ids})
