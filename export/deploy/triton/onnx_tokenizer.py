"""The tokenisers of a model as an ONNX file of their own, tried before it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from biport.errors import DifferentError
from biport.graph import Value
from biport.text.samples import ODD, sample_texts, sample_tokens
from biport.text.tokenizer import Tokenizer
from export.publish import publish
from export.session import Session
from export.text.embed import tokenizer_model

TEXTS, LONGEST = 12, 20


def write_onnx(path: Path, session: Session, names: Mapping[str, str]) -> Sequence[Value]:
    """Write the file.

    Args:
        path: where.
        session: the model of ids, with its tokenisers.
        names: by inputs of the model what the ids are called.

    Returns:
        The inputs of texts.

    Raises:
        UnsupportedError: ONNX has no operators for one of them.
        DifferentError: it gives other ids.
    """
    model = tokenizer_model(session.input_values, session.tokenizers, names)

    def check(file: Path) -> None:
        own = Session(file, device="cpu", threads=1)
        texts = {value.name: _texts(value, session.tokenizers) for value in own.input_values}
        given = dict(zip(own.output_names, own.run(texts), strict=True))
        for name, tokenizer in session.tokenizers.items():
            wanted = tokenizer.encode_batch(texts[tokenizer.source])
            if not np.array_equal(given[names[name]], wanted):
                raise DifferentError(f"{path.name} was not kept: it makes other ids of texts for {name!r}")

    publish(path, lambda target: ir.save(model, target), overwrite=True, check=check)
    return Session(path, device="cpu", threads=1).input_values


def _texts(value: Value, tokenizers: Mapping[str, Tokenizer]) -> np.ndarray:
    """Texts that all tokenisers of the input take."""
    own = [one for one in tokenizers.values() if one.source == value.name]
    if own[0].split == "none":
        steps = [dim if isinstance(dim, int) else LONGEST for dim in value.shape[1:]]
        return sample_tokens(own[0], (TEXTS, *steps))
    odd = [] if any(one.refuses for one in own) else ODD
    return np.array([*odd, *sample_texts(own[0], TEXTS, LONGEST)], object)
