"""Graph to an ONNX file: the route "fused", one node for each recurrent layer wherever ONNX has one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biport.analysis.padding import masked_axes
from biport.analysis.text_model import unsaid_lengths, with_tokenizer
from biport.compare.cases import PATTERNS, RIGHT_PADDED
from biport.compare.check_vectors import CheckVectors, make_vectors
from biport.data.vocabulary import Vocabulary
from biport.errors import BiportError
from biport.graph import Graph
from biport.text.characters import from_data
from biport.text.tokenizer import Tokenizer
from export.require import require_onnx

if TYPE_CHECKING:
    from export.publish import Check, Written

PROTOBUF_LIMIT = 2**31 - 2**24
"""Bytes of weights that go into one file: protobuf's 2 GiB, less room for everything else."""


def write(
    graph: Graph,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    external_data_above: int = PROTOBUF_LIMIT,
    lowering: str = "auto",
    contract: str | None = None,
    check: Check | None = None,
    vocabulary: Vocabulary | Tokenizer | None = None,
    labels: Sequence[str] | None = None,
    embed_tokenizer: bool = False,
    refuse_characters: bool = False,
    vectors: bool = True,
) -> Written:
    """Write ``graph`` as an ONNX file that onnxruntime runs fast and that is exact under every mask.

    Inputs and outputs keep their names and order; axes of varying size carry the graph's letters, a second
    input's T being called T_2. Empty batches and, where the model is defined over them, empty sequences
    give what `biport.reference` gives.

    Args:
        graph: the model, in float32.
        path: the file to write.
        overwrite: replace a file that is there already.
        external_data_above: bytes of weights beyond which they go into ``<path>.data``.
        lowering: ``"fused"`` for one ONNX node a recurrent layer wherever there is one, ``"loop"`` for a
            `Scan` everywhere, ``"auto"`` for what is faster on the CPU (`export.recurrent.lowering`): where
            the batch decides, both are in the file. On a GPU ``"fused"`` is the faster.
        contract: ``"right-padded"`` where all padding will come behind the last step of its row: no step is
            moved then, and running the file on any other input is an error, with `Session` or without it.
        check: called with the file before it is put in its place; what it raises, `write` does.
        vocabulary: what makes ids of texts, where the graph has no tokeniser; the file carries it, and
            `Session.run` and `predict` then take texts.
        labels: what the classes of the first output are called; the file carries them.
        embed_tokenizer: put the tokenisers into the graph, which then takes strings in place of ids:
            the very ids that `biport.text.Tokenizer` makes of them.
        refuse_characters: where ONNX has no operators for all that a tokeniser does to letters beyond ASCII,
            write a graph that gives an error for texts with characters that it cannot treat.
        vectors: have the file carry check vectors, see `biport.compare.check_vectors`, which ``biport check``
            runs wherever onnxruntime does; where they are large they are in ``<path>.check.npz``. Why there
            are none is noted.

    Raises:
        UnsupportedError: the graph is in float64 or holds an op without a writer, all such nodes at once; or
            the labels, the vocabulary or the tokeniser do not go with it.
        InputError: ``lowering`` or ``contract`` is none; or there are more ids in the vocabulary than the
            model has, or more or fewer labels than classes.
        FileError: the file exists, or its folder is missing or cannot be written to.
        MissingDependencyError: onnx or onnx-ir is not installed.
    """
    require_onnx()
    import onnx_ir as ir

    from export.build import build
    from export.check_vectors import Carried, carried, check_path
    from export.publish import Written, data_path, publish
    from export.text.embed import embed_tokenizers
    from export.text.metadata import text_metadata

    path = Path(path)
    graph = with_tokenizer(graph, vocabulary)
    model, notes = build(graph, lowering, contract)
    if unsaid := unsaid_lengths(graph.inputs, graph.tokenizers, masked_axes(graph) is not None):
        notes.append(unsaid)
    if unsaid and embed_tokenizer and len(graph.inputs) == 1:
        # Of several inputs nothing is known of padding.
        model.metadata_props["biport.unsaid"] = unsaid
    model.metadata_props.update(text_metadata(graph, labels))
    if embed_tokenizer:
        notes += embed_tokenizers(model, graph, refuse_characters=refuse_characters)
    travelling = Carried({})
    if vectors:
        try:
            travelling = carried(_vectors(graph, model, contract, embed_tokenizer))
        except BiportError as error:
            notes.append(f"the file carries no check vectors: {error}")
    model.metadata_props.update(travelling.properties)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    data = data_path(path) if size > external_data_above else None

    def save(target: Path) -> None:
        ir.save(model, target, external_data=None if data is None else data.name)
        travelling.write_beside(target)

    publish(path, save, overwrite=overwrite, check=check)
    return Written(
        path=path,
        route="fused",
        opset=model.opset_imports[""],
        nodes=dict(Counter(node.op_type for node in model.graph.all_nodes()).most_common()),
        bytes=path.stat().st_size + (data.stat().st_size if data else 0),
        data=data,
        check=check_path(path) if travelling.beside else None,
        notes=notes,
    )


def _vectors(graph: Graph, model: Any, contract: str | None, of_texts: bool) -> CheckVectors:
    """Check vectors that the model takes: of texts, where its tokeniser is in it."""
    digest = model.metadata_props["biport.digest"]
    if of_texts:
        from export.text.sample_texts import text_vectors

        characters = from_data(json.loads(model.metadata_props.get("biport.characters", "{}")), "model")
        return text_vectors(graph, digest, characters)
    patterns = PATTERNS if contract is None else RIGHT_PADDED
    return make_vectors(graph, patterns=patterns, digest=digest)
