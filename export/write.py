"""Graph to an ONNX file: the route "fused", one node for each recurrent layer wherever ONNX has one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biport.analysis.padding import masked_axes
from biport.analysis.text_model import unsaid_lengths, with_tokenizer
from biport.compare.cases import PATTERNS, RIGHT_PADDED
from biport.compare.check_vectors import CheckVectors, make_vectors
from biport.data.images import ImageSettings
from biport.data.vocabulary import Vocabulary
from biport.errors import BiportError, UnsupportedError
from biport.graph import Graph
from biport.log import logged
from biport.text.characters import from_data
from biport.text.tokenizer import Tokenizer
from export.require import require_onnx

if TYPE_CHECKING:
    from export.publish import Check, Written

PROTOBUF_LIMIT = 2**31 - 2**24
"""Bytes of weights that go into one file: protobuf's 2 GiB, less room for everything else."""


@logged("export.write")
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
    images: ImageSettings | None = None,
    embed_tokenizer: bool = False,
    refuse_characters: bool = False,
    vectors: bool = True,
    opset: int | None = None,
    ir_version: int | None = None,
    runtime: str | None = None,
    fix_batch: int | None = None,
    fix_length: int | Mapping[str, int] | None = None,
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
        images: how pictures become rows, beside what the model states: one that begins with a `Rescaling` of
            pixels takes them as they are. The file carries it, see `Session.images`.
        embed_tokenizer: put the tokenisers into the graph, which then takes strings in place of ids:
            the very ids that `biport.text.Tokenizer` makes of them.
        refuse_characters: where ONNX has no operators for all that a tokeniser does to letters beyond ASCII,
            write a graph that gives an error for texts with characters that it cannot treat.
        vectors: have the file carry check vectors, see `biport.compare.check_vectors`, which ``biport check``
            runs wherever onnxruntime does; where they are large they are in ``<path>.check.npz``. Why there
            are none is noted.
        opset: of the operators, 15 to 23; by default 18, and 20 where texts go in.
        ir_version: of the format; by default the oldest that has what is in the file.
        runtime: a release of onnxruntime that is to run the file, such as ``"1.16"``: opset and IR version
            are such as it takes, and what it is known to compute wrongly is written otherwise or refused.
        fix_batch: rows of every batch, for accelerators that take no other; the file then has a number in
            place of N, and runs nothing else. `Session.predict` fills batches up.
        fix_length: steps, likewise: one number, or by letters, ``{"T": 40, "T_2": 30}``.

    Raises:
        UnsupportedError: the graph is in float64 or holds an op without a writer, all such nodes at once; or
            the labels, the vocabulary or the tokeniser do not go with it; or an operator is newer than the
            opset, the IR version or the runtime that was asked for.
        InputError: ``lowering`` or ``contract`` is none; there are more ids in the vocabulary than the model
            has, or more or fewer labels than classes; or the model is not defined over a fixed size.
        FileError: the file exists, or its folder is missing or cannot be written to.
        MissingDependencyError: onnx or onnx-ir is not installed.
    """
    require_onnx()
    import onnx_ir as ir

    from export.build import build
    from export.check_vectors import Carried, carried, check_path
    from export.onnx.fixed_sizes import at_sizes
    from export.onnx.folding import fold
    from export.onnx.target import target_of
    from export.onnx.versions import stamp
    from export.publish import Written, data_path, publish
    from export.text.embed import embed_tokenizers
    from export.text.metadata import text_metadata

    path = Path(path)
    graph = with_tokenizer(graph, vocabulary)
    target = target_of(opset, ir_version, runtime)
    fixed = fix_batch is not None or fix_length is not None
    if fixed:
        if embed_tokenizer:
            raise UnsupportedError(
                "export to ONNX", "embed_tokenizer", True, "sizes that vary: texts have any"
            )
        graph = at_sizes(graph, fix_batch, fix_length)
    model, notes = build(graph, lowering, contract, target)
    if fixed:
        fold(model)
    if unsaid := unsaid_lengths(graph.inputs, graph.tokenizers, masked_axes(graph) is not None):
        notes.append(unsaid)
    if unsaid and embed_tokenizer and len(graph.inputs) == 1:
        # Of several inputs nothing is known of padding.
        model.metadata_props["biport.unsaid"] = unsaid
    model.metadata_props.update(text_metadata(graph, labels, images))
    if embed_tokenizer:
        notes += embed_tokenizers(model, graph, refuse_characters=refuse_characters)
    stamp(model, target)
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
        ir_version=model.ir_version,
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
