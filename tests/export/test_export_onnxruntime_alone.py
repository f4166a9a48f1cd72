"""What deployment promises, where onnxruntime is installed and neither onnx nor a framework is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import export
from biport import bundle, ops, reference
from biport.data import Vocabulary
from biport.decoding import greedy, reference_stepper, split
from biport.graph import Graph, Node, Value
from export.deploy.precision import write_precision
from testing.graphs import embedding, normal
from testing.onnx_graphs import H, I, array, chain, lstm

ROOT = Path(__file__).parents[2]
WORDS = Vocabulary(("<pad>", "<unk>", "good", "film", "not", "!", "bad", "the"))
SAID = Vocabulary(("<pad>", "<unk>", "a", "b", "c"))
WRITTEN = Vocabulary(("<pad>", "<unk>", "<start>", "<end>", *"vwxyz"))
TEXTS = ["good film !", "not bad", "the"]
MISSING = ["onnx", "onnx_ir", "tf2onnx", "keras", "tf_keras", "tensorflow", "torch", "h5py", "matplotlib"]

ALONE = """
import json, sys

MISSING = json.loads(sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import numpy as np
import biport, export
from biport import bundle
from biport.app.cli import main
from biport.decoding import greedy
from biport.errors import MissingDependencyError
from export.deploy.triton.repository import model_config

texts, ids = json.loads(sys.argv[2]), np.array([[2, 3, 0], [0, 5, 6]], "int32")
seen = {}
for name in ("exact", "int8", "float16", "outside"):
    session = export.Session(f"{name}.onnx", device="cpu", threads=1)
    seen[name] = session.run([ids])[0].tolist()
    seen[f"{name}, placed"] = session.placement is not None
session = export.Session("exact.onnx", device="auto", threads=1)
seen["predict"] = [row[0].tolist() for row in session.predict(texts)]
seen["classify"] = [label for label, _ in session.classify(texts)]
seen["strings"] = [row[0].tolist() for row in export.Session("strings.onnx").predict(texts)]
seen["triton"] = model_config(session, "m").text
stepper = export.stepper("decoder", "cpu")
seen["decoded"] = [one.tokens for one in greedy(stepper, [[4, 5], [1]], start=2, end=3, max_length=4)]
seen["verify"] = biport.verify(bundle.read("bundle"), "exact.onnx").ok
refused = {
    "write": lambda: export.write(bundle.read("bundle"), "x.onnx"),
    "write_decoder": lambda: export.write_decoder(bundle.read("bundle"), "x"),
    "trace": lambda: export.trace("exact.onnx", {}, bundle.read("bundle")),
    "node_count": lambda: session.node_count,
}
for name, call in refused.items():
    try:
        call()
    except MissingDependencyError as error:
        seen[name] = str(error)
sys.argv = ["biport", "run", "exact.onnx", "--input", "in.csv", "--output", "out.csv"]
try:
    main()
except SystemExit as end:
    seen["run"] = end.code
where = ["--input", "pairs.tsv", "--output", "out.tsv"]
sys.argv = ["biport", "translate", "decoder", *where, "--max-length", "4"]
try:
    main()
except SystemExit as end:
    seen["translate"] = end.code
names = ["exact", "strings", "outside", "int8", "float16", "decoder/encoder", "decoder/step"]
sys.argv = ["biport", "check", *(f"{name}.onnx" for name in names)]
try:
    main()
except SystemExit as end:
    seen["check"] = end.code
seen["loaded"] = sorted({name.partition(".")[0] for name in sys.modules} & {*MISSING})
print(json.dumps(seen))
"""


def translator(rng: np.random.Generator) -> Graph:
    """An encoder's states begin a decoder."""
    encoder = lstm(rng, I, H, return_state=True)
    decoder = lstm(rng, I, H, return_sequences=True)
    head = ops.Dense(
        input_size=H, output_size=9, activation="softmax", weight=4 * array(rng, 9, H), bias=array(rng, 9)
    )
    nodes = (
        Node("from", embedding(rng, I, 9, masked=False), ("source",)),
        Node("to", embedding(rng, I, 9, masked=False), ("target",)),
        Node("encoder", encoder, ("from",), ("encoder", "h", "c")),
        Node("decoder", decoder, ("to", "h", "c")),
        Node("y", head, ("decoder",)),
    )
    ids = [Value(name, ("N", "T"), "int32") for name in ("source", "target")]
    return Graph(tuple(ids), nodes, ("y",))


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, Graph, Graph]:
    rng = np.random.default_rng(4)
    head = ops.Dense(
        input_size=H, output_size=1, activation="sigmoid", weight=normal(rng, 1, H), bias=normal(rng, 1)
    )
    graph = chain(rng, lstm(rng, I, H), head)
    graph = Graph(graph.inputs, graph.nodes, graph.outputs[-1:])
    how: dict[str, Any] = {"vocabulary": WORDS, "labels": ("no", "yes")}
    export.write(graph, tmp_path / "exact.onnx", **how)
    export.write(graph, tmp_path / "strings.onnx", embed_tokenizer=True, refuse_characters=True, **how)
    export.write(graph, tmp_path / "outside.onnx", external_data_above=0)
    for precision in ("int8", "float16"):
        write_precision(tmp_path / "exact.onnx", tmp_path / f"{precision}.onnx", precision)
    bundle.write(graph, tmp_path / "bundle")
    decoded = translator(rng)
    export.write_decoder(decoded, tmp_path / "decoder", tokenizers=(SAID.tokenizer(), WRITTEN.tokenizer()))
    (tmp_path / "pairs.tsv").write_text("b c\tx\na a\ty\n")
    (tmp_path / "in.csv").write_text("text\n" + "".join(f"{text}\n" for text in TEXTS))
    return tmp_path, graph, decoded


def test_everything_that_runs_a_model(folder):
    path, graph, decoded = folder
    command = [sys.executable, "-c", ALONE, json.dumps(MISSING), json.dumps(TEXTS)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=path, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    (exact,) = reference.run(graph, [np.array([[2, 3, 0], [0, 5, 6]], "int32")])
    for name, allowed in {"exact": 1e-6, "outside": 1e-6, "float16": 0.01, "int8": 0.2}.items():
        np.testing.assert_allclose(seen[name], exact, atol=allowed)
        tells = hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")
        assert seen[f"{name}, placed"] == tells  # from 1.24 on
    rows = [reference.run(graph, [np.array([WORDS.encode(text)], "int32")])[0][0] for text in TEXTS]
    np.testing.assert_allclose(seen["predict"], rows, atol=1e-6)
    np.testing.assert_allclose(seen["strings"], rows, atol=1e-6)
    assert seen["classify"] == ["yes" if row[0] >= 0.5 else "no" for row in rows]
    assert "onnxruntime" in seen["triton"]
    wanted = greedy(
        reference_stepper(split(decoded)), [[4, 5], [1]], start=2, end=3, max_length=4, never=(0,)
    )
    assert seen["decoded"] == [[*one.tokens] for one in wanted]
    assert seen["translate"] == 0, done.stderr
    wanted = greedy(
        *(reference_stepper(split(decoded)), [[3, 4], [2, 2]]), start=2, end=3, max_length=4, never=(0, 1)
    )
    lines = [" ".join(WRITTEN.tokens[token] for token in one.tokens) for one in wanted]
    assert any(lines)
    assert (path / "out.tsv").read_text() == f"b c\t{lines[0]}\na a\t{lines[1]}\n"
    assert seen["verify"]
    assert (seen["run"], len((path / "out.csv").read_text().splitlines())) == (0, 1 + len(TEXTS))
    assert seen["check"] == 0, done.stdout
    assert done.stdout.count("verdict: same") == 7
    assert not seen["loaded"]
    for name in ("write", "write_decoder", "trace", "node_count"):
        assert "pip install" in seen[name]
