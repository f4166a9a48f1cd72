"""The folders of a Triton model repository: an ONNX file, what Triton is told of it, texts in front of it.

Of a model that carries tokenisers there are three, see `export.deploy.triton.ensemble`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from biport.errors import InputError
from biport.files import check_folder_name
from biport.rewrite.probabilities import END
from biport.text.inputs import from_data
from export.deploy.triton.config import Config, write_config
from export.deploy.triton.ensemble import MODEL, VERSION, in_front, is_ours, write_in_front
from export.session import Session


def repository_path(folder: Path, name: str) -> Path:
    """Where the ONNX file of the model ``name`` goes; its folders are not made.

    Raises:
        InputError: the name is none that Triton takes; ``folder`` is a file; or something else is where the
            models go that stand in front of it.
    """
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise InputError(f"{name!r}: a model of Triton is called by letters, digits, - and _")
    check_folder_name(folder)
    model = folder / name
    if not is_ours(model) and (there := [str(one) for one in in_front(model) if one.exists()]):
        raise InputError(f"{', '.join(there)}: is there, and not of this model; another name is free")
    return model / VERSION / MODEL


def complete(path: Path) -> list[str]:
    """Write what Triton needs beside the ONNX file at ``path``, which `repository_path` gave.

    Requests go together where they have one T: Triton's batcher takes inputs of one shape only, and so never
    pads a row. Texts that come together are padded to one length where the model does not see that.

    Returns:
        What is worth knowing of it, a line each.

    Raises:
        UnsupportedError: an input or output has no batch axis of its own.
    """
    session, folder = Session(path, device="cpu", threads=1), path.parent.parent
    config = model_config(session, folder.name)
    _ = config.text
    notes = []
    if not config.together:
        notes.append(f"Triton runs each request by itself: {_meeting(session)}")
    first = session.output_values[0]
    if session.labels is not None and config.labelled is None:
        notes.append(
            f"no labels file: Triton names every number of an output, and {first.name} is {first.tensor}"
        )
    if is_ours(folder):
        for stale in in_front(folder):
            shutil.rmtree(stale)
    write_config(folder, config, session.labels)
    return notes + (write_in_front(folder, session, config) if session.tokenizers else [])


def model_config(session: Session, name: str) -> Config:
    """What Triton is told of an ONNX file."""
    return Config(
        name,
        "onnxruntime",
        session.input_values,
        session.output_values,
        labelled=_labelled(session),
        together=not _meeting(session),
    )


def _labelled(session: Session) -> str | None:
    """The output whose classes are named: Triton counts them over all of a row."""
    first = session.output_values[0]
    if session.labels is None:
        return None
    named = [one for one in session.output_values if one.name in (first.name, f"{first.name}{END}")]
    return next((one.name for one in named if one.shape[1:] == (len(session.labels),)), None)


def _meeting(session: Session) -> str:
    """How one request would change the numbers of another in the same batch; empty where it does not."""
    mixer = session.metadata.get("biport.rows_meet")
    if mixer is not None:
        return f"the rows of a batch meet in {mixer!r}"
    texts = [value.name for value in session.input_values if value.dtype == "str" and len(value.shape) == 1]
    carried = from_data(json.loads(session.metadata.get("biport.tokenizers", "{}")), str(session.path))
    own = [one for one in carried.values() if one.source in texts]
    if texts and not session.masked and not all(one.length is not None for one in own):
        return "the model sees the padding that its own texts are given beside longer ones"
    return ""
