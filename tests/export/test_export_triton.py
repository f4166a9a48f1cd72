"""A Triton repository: its configuration by Triton's own schema, and what a real server does with it."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
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
from biport.rewrite.probabilities import with_probabilities
from biport.text import Tokenizer
from export.deploy.triton.repository import complete, model_config, repository_path
from testing.onnx_graphs import H, I, array, chain, lstm
from testing.triton_server import RefusedError, Server, batches, serving

WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
TEXTS = ["Good film!", "", "not bad"]
LABELS = ("no", "so so", "yes")
OF_WORDS: dict[str, Any] = {"standardize": "none", "split": "words", "mask_token": None}


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
        "ModelParameter": [("string_value", 1, "str", False)],
        "Parameters": [("key", 1, "str", False), ("value", 2, "ModelParameter", False)],
        "Names": [("key", 1, "str", False), ("value", 2, "str", False)],
        "Step": [
            *(("model_name", 1, "str", False), ("model_version", 2, "int64", False)),
            *(("input_map", 3, "Names", True), ("output_map", 4, "Names", True)),
        ],
        "ModelEnsembling": [("step", 1, "Step", True)],
        "ModelInstanceGroup": [("count", 2, "int32", False), ("kind", 4, "Kind", False)],
        "ModelConfig": [
            *(
                ("name", 1, "str", False),
                ("platform", 2, "str", False),
                ("max_batch_size", 4, "int32", False),
            ),
            *(("input", 5, "ModelInput", True), ("output", 6, "ModelOutput", True)),
            *(("instance_group", 7, "ModelInstanceGroup", True), ("parameters", 14, "Parameters", True)),
            ("ensemble_scheduling", 15, "ModelEnsembling", False),
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


def files_of(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_triton_repository(graph: Graph, tmp_path: Path) -> None:
    bundle.write(graph, tmp_path / "b", vocabulary=WORDS, labels=LABELS)
    models = tmp_path / "models"
    command = ["export", str(tmp_path / "b"), "--triton", str(models), "--no-verify"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "b_tokenizer is a model of Triton's backend for Python" in result.output
    assert files_of(models) == [
        *("b/1/model.onnx", "b/config.pbtxt", "b/labels.txt"),
        *("b_text/1/ensemble.txt", "b_text/config.pbtxt", "b_text/labels.txt"),
        *("b_tokenizer/1/model.py", "b_tokenizer/1/tokenizers.json", "b_tokenizer/config.pbtxt"),
    ]
    folder = models / "b"
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
    forced = CliRunner().invoke(app, [*command, "--embed-tokenizer", "--refuse-characters", "--force"])
    assert forced.exit_code == 0, forced.output
    assert files_of(models) == ["b/1/model.onnx", "b/config.pbtxt", "b/labels.txt"]
    (texts,) = parsed(folder / "config.pbtxt").input
    assert (texts.name, texts.data_type, list(texts.dims)) == ("ids", 13, [1])
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


def with_texts(rng: np.random.Generator, *, masked: bool = True, **settings: Any) -> Graph:
    """A classifier of texts in three classes."""
    weights: dict[str, Any] = {"weight": array(rng, 3, H), "bias": array(rng, 3)}
    head = ops.Dense(input_size=H, output_size=3, activation="softmax", **weights)
    graph = chain(rng, lstm(rng, I, H), head, masked=masked)
    tokenizer = Tokenizer(WORDS.tokens[2:], **settings)
    return Graph(graph.inputs, graph.nodes, ("layer_2",), {}, {"ids": tokenizer})


def deployed(graph: Graph, models: Path, name: str) -> tuple[export.Session, list[str]]:
    """The model in a repository, opened, and the notes on it."""
    path = repository_path(models, name)
    path.parent.mkdir(parents=True)
    export.write(graph, path, labels=LABELS, vectors=False)
    return export.Session(path, device="cpu", threads=1), complete(path)


def encoded_by_model_py(folder: Path, texts: list[str]) -> Any:
    """What ``model.py`` answers to two requests that come together, the texts and none."""
    utils: Any = types.ModuleType("triton_python_backend_utils")
    utils.Tensor = lambda name, array: (name, array)
    utils.TritonError = str
    utils.InferenceResponse = lambda tensors=(), error=None: error or dict(tensors)
    utils.get_input_tensor_by_name = lambda request, name: request[name]
    names: dict[str, Any] = {"__name__": "model"}
    try:
        sys.modules["triton_python_backend_utils"] = utils
        exec(compile((folder / "1" / "model.py").read_text(), "model.py", "exec"), names)
    finally:
        del sys.modules["triton_python_backend_utils"]
    config = {
        "output": [{"name": "ids", "data_type": "TYPE_INT32"}],
        "parameters": {
            "pads": {"string_value": parsed(folder / "config.pbtxt").parameters[0].value.string_value}
        },
    }
    model = names["TritonPythonModel"]()
    settings = {"model_repository": str(folder), "model_version": "1", "model_config": json.dumps(config)}
    model.initialize(settings)
    given = np.array([text.encode() for text in texts], object)
    requests = [
        {"text": types.SimpleNamespace(as_numpy=lambda one=one: one)}
        for one in (given, given[:1], np.array([b"\xff"], object))
    ]
    return model.execute(requests)


def test_texts_in_front(tmp_path: Path) -> None:
    """Where ONNX has operators for the tokeniser an ONNX file, otherwise Python that gives the very ids."""
    rng, models = np.random.default_rng(3), tmp_path / "models"
    models.mkdir()
    session, notes = deployed(with_texts(rng), models, "a")
    assert notes == []
    front = export.Session(models / "a_tokenizer" / "1" / "model.onnx", device="cpu")
    tokenizer = session.tokenizers["ids"]
    np.testing.assert_array_equal(front.run([np.array(TEXTS)])[0], tokenizer.encode_batch(TEXTS))
    config = parsed(models / "a_tokenizer" / "config.pbtxt")
    assert (config.backend, config.instance_group[0].kind) == ("onnxruntime", 2)
    assert config.HasField("dynamic_batching")
    whole = parsed(models / "a_text" / "config.pbtxt")
    assert (whole.platform, dims(whole.input)) == ("ensemble", [("text", 13, [1])])
    assert [step.model_name for step in whole.ensemble_scheduling.step] == ["a_tokenizer", "a"]
    assert whole.output[0].label_filename == "labels.txt"
    _, notes = deployed(with_texts(rng, masked=False, **OF_WORDS), models, "b")
    assert "backend for Python: ONNX has no operators for split='words'" in notes[0]
    many, one, error = encoded_by_model_py(models / "b_tokenizer", TEXTS)
    own = Tokenizer(WORDS.tokens[2:], **OF_WORDS)
    np.testing.assert_array_equal(many["ids"], own.encode_batch(TEXTS))
    np.testing.assert_array_equal(one["ids"], own.encode_batch(TEXTS[:1]))
    assert "can't decode" in error
    deployed(with_texts(rng, **OF_WORDS), models, "c")
    many, one, _ = encoded_by_model_py(models / "c_tokenizer", [*TEXTS[:1], "a " * 9])
    assert many["ids"].shape[1] == one["ids"].shape[1] == 9


def test_where_requests_do_not_go_together(tmp_path: Path) -> None:
    """A model that sees padding is not given texts of several requests at one time."""
    rng = np.random.default_rng(4)
    graph = with_texts(rng, masked=False)
    for name, length, together in (("a", None, False), ("b", 5, True)):
        tokenizer = Tokenizer(WORDS.tokens[2:], length=length)
        graph = Graph(graph.inputs, graph.nodes, graph.outputs, {}, {"ids": tokenizer})
        path = tmp_path / f"{name}.onnx"
        export.write(graph, path, embed_tokenizer=True, vectors=False)
        assert model_config(export.Session(path, device="cpu"), name).together is together
    path = repository_path(tmp_path, "a")
    path.parent.mkdir(parents=True)
    (tmp_path / "a.onnx").rename(path)
    assert any("each request by itself" in note for note in complete(path))
    (tmp_path / "a_text").mkdir()
    with pytest.raises(InputError, match=r"a_text: is there, and not of this model"):
        repository_path(tmp_path, "a")


@pytest.fixture(scope="module")
def served(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """Several models behind one server."""
    folder = tmp_path_factory.mktemp("served")
    rng, models = np.random.default_rng(5), folder / "models"
    models.mkdir()
    deployed(graph, models, "ids")
    deployed(with_texts(rng), models, "onnx")
    deployed(with_texts(rng, **OF_WORDS), models, "python")
    deployed(with_texts(rng, masked=False, padding="pre", **OF_WORDS), models, "apart")
    deployed(with_texts(rng, unknown_id=None, source="ids"), models, "known")
    inside = repository_path(models, "inside")
    inside.parent.mkdir(parents=True)
    export.write(with_texts(rng), inside, labels=LABELS, embed_tokenizer=True)
    complete(inside)
    with serving(models, folder) as server:
        yield server, models


def opened(models: Path, name: str) -> export.Session:
    return export.Session(models / name / "1" / "model.onnx", device="cpu", threads=1)


@pytest.mark.sweep
def test_a_real_server(served: tuple[Server, Path]) -> None:
    """Numbers of the session, labels by Triton's own classification, and requests that become one batch."""
    server, models = served
    ids = np.random.default_rng(0).integers(0, 13, (8, 5)).astype("int32")
    (wanted,) = opened(models, "ids").run([ids])
    np.testing.assert_allclose(server.infer("ids", {"ids": ids})["layer_2"], wanted, atol=1e-6)
    ranked = server.infer("ids", {"ids": ids}, layer_2=1)["layer_2"]
    best = [str(line).split(":") for line in ranked.ravel()]
    assert [names for _, _, names in best] == [LABELS[i] for i in wanted.argmax(1)]
    with ThreadPoolExecutor(8) as pool:
        given = [{"ids": row[None]} for row in ids]
        answers = list(pool.map(lambda one: server.infer("ids", one)["layer_2"], given))
    np.testing.assert_allclose(np.concatenate(answers), wanted, atol=1e-6)
    assert max(requests for requests, _ in batches(server.log, "ids")) > 1
    with pytest.raises(RefusedError, match="unexpected inference input"):
        server.infer("ids", {"wrong": ids})


def session_texts(session: export.Session, texts: list[str]) -> np.ndarray:
    """The texts, or their ids where the file takes those."""
    (value,) = session.input_values
    own = session.tokenizers.get(value.name)
    return np.array(texts, object) if own is None else own.encode_batch(texts).astype(value.dtype)


@pytest.mark.sweep
@pytest.mark.parametrize(
    "name, model",
    [("onnx", "onnx_text"), ("python", "python_text"), ("apart", "apart_text"), ("inside",) * 2],
)
def test_texts_on_a_real_server(name: str, model: str, served: tuple[Server, Path]) -> None:
    """The numbers of the session, also of requests that come together, and labels."""
    server, models = served
    session = opened(models, name)
    texts = [*TEXTS, "\u00c9 good THE", "the film, the film! not", "\u4e2d\u6587 bad"]

    def ask(given: list[str]) -> np.ndarray:
        return server.infer(model, {"text": np.array(given, object)[:, None]})["layer_2"]

    (wanted,) = session.run([session_texts(session, texts)])
    np.testing.assert_allclose(ask(texts), wanted, atol=1e-6)
    given = {"text": np.array(texts, object)[:, None]}
    ranked = server.infer(model, given, layer_2=1)["layer_2"].ravel()
    assert [str(line).split(":")[2] for line in ranked] == [LABELS[i] for i in wanted.argmax(1)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: ask([text]), texts * 6))
    alone = np.concatenate([session.run([session_texts(session, [text])])[0] for text in texts])
    np.testing.assert_allclose(np.concatenate(answers), np.tile(alone, (6, 1)), atol=1e-6)
    most = max(requests for requests, _ in batches(server.log, name))
    assert most > 1 or name == "apart"


@pytest.mark.sweep
def test_an_unknown_token_on_a_real_server(served: tuple[Server, Path]) -> None:
    server, models = served
    (wanted,) = opened(models, "known").run([["good film"]])
    got = server.infer("known_text", {"ids": np.array([["good film"]], object)})
    np.testing.assert_allclose(got["layer_2"], wanted, atol=1e-6)
    with pytest.raises(RefusedError, match="unknown tokens that are refused"):
        server.infer("known_text", {"ids": np.array([["ugly"]], object)})


def binary(rng: np.random.Generator) -> Graph:
    """A classifier whose output is the probability of the second of two classes."""
    weights: dict[str, Any] = {"weight": array(rng, 1, H), "bias": array(rng, 1)}
    head = ops.Dense(input_size=H, output_size=1, activation="sigmoid", **weights)
    graph = chain(rng, lstm(rng, I, H), head)
    return Graph(graph.inputs, graph.nodes, ("layer_2",))


def exported(graph: Graph, folder: Path) -> Path:
    """The model with two labels in a repository, by the command."""
    bundle.write(graph, folder / "two", labels=("no", "yes"))
    command = ["export", str(folder / "two"), "--triton", str(folder / "models"), "--no-verify"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return folder / "models"


def test_one_sigmoid_has_labels_too(tmp_path: Path) -> None:
    graph = binary(np.random.default_rng(6))
    models = exported(graph, tmp_path)
    config = parsed(models / "two" / "config.pbtxt")
    assert [one.label_filename for one in config.output] == ["", "labels.txt"]
    ids = np.array([[1, 2, 3], [4, 0, 0]], "int32")
    first, both = opened(models, "two").run([ids])
    np.testing.assert_allclose(both, np.concatenate([1 - first, first], 1), atol=1e-6)
    assert with_probabilities(with_probabilities(graph)).outputs == ("layer_2", "layer_2_probabilities")


@pytest.mark.sweep
def test_one_sigmoid_on_a_real_server(tmp_path: Path) -> None:
    models = exported(binary(np.random.default_rng(6)), tmp_path)
    ids = np.random.default_rng(7).integers(0, 13, (6, 4)).astype("int32")
    first, _ = opened(models, "two").run([ids])
    with serving(models, tmp_path) as server:
        ranked = server.infer("two", {"ids": ids}, layer_2_probabilities=1)["layer_2_probabilities"]
    assert [str(line).split(":")[2] for line in ranked.ravel()] == [
        ("no", "yes")[int(p >= 0.5)] for p in first[:, 0]
    ]
