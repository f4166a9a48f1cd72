"""The folders of a Triton model repository: the ONNX file, what Triton is told of it, and its labels."""

from __future__ import annotations

import json
from pathlib import Path

from biport.errors import InputError
from biport.files import atomic_file, check_folder_name
from biport.text.inputs import from_data
from export.deploy.triton.config import CONFIG, LABELS, Config
from export.session import Session

MODEL, VERSION = "model.onnx", "1"


def repository_path(folder: Path, name: str) -> Path:
    """Where the ONNX file of the model ``name`` goes; its folders are not made.

    Raises:
        InputError: the name is none that Triton takes, or ``folder`` is a file.
    """
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise InputError(f"{name!r}: a model of Triton is called by letters, digits, - and _")
    check_folder_name(folder)
    return folder / name / VERSION / MODEL


def complete(path: Path) -> list[str]:
    """Write what Triton needs beside the ONNX file at ``path``, which `repository_path` gave.

    Requests go together where they have one T: Triton's batcher takes inputs of one shape only, and so never
    pads a row.

    Returns:
        What is worth knowing of it, a line each.

    Raises:
        UnsupportedError: an input or output has no batch axis of its own.
    """
    session, folder, notes = Session(path, device="cpu", threads=1), path.parent.parent, []
    config = model_config(session, folder.name)
    text = config.text
    if not config.together:
        notes.append(f"Triton runs each request by itself: {_meeting(session)}")
    if session.labels is not None and config.labelled is None:
        first = session.output_values[0]
        notes.append(
            f"no labels file: Triton names every number of an output, and {first.name} is {first.tensor}"
        )
    if config.labelled is not None:
        _write(folder / LABELS, "".join(f"{label}\n" for label in session.labels or ()))
    _write(folder / CONFIG, text)
    return notes


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
    classes = None if session.labels is None else len(session.labels)
    return first.name if first.shape[1:] == (classes,) else None


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


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as draft:
        draft.write_text(text, encoding="utf-8")
