"""Texts in front of a model of ids: ``NAME_tokenizer``, which makes the ids, and ``NAME_text``, both in turn.

The tokeniser is an ONNX file where ONNX's operators do what it does, and otherwise a model of Triton's
backend for Python. It stays off a GPU, where there are no operators for texts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from biport.errors import UnsupportedError
from biport.files import new_folder
from biport.graph import Value
from biport.text.inputs import source_names, to_data
from export.deploy.triton import tokenizer_model
from export.deploy.triton.config import Config, Step, write_config, write_text
from export.session import Session

MODEL, VERSION = "model.onnx", "1"
TOKENIZER, TEXT = "_tokenizer", "_text"
"""Behind the name of a model: what the models are called that stand in front of it."""
SAID = "ensemble.txt"
"""Beside an ensemble, what it is of."""


def in_front(folder: Path) -> list[Path]:
    """The folders of the models that stand in front of the one in ``folder``."""
    return [folder.with_name(folder.name + end) for end in (TEXT, TOKENIZER)]


def is_ours(folder: Path) -> bool:
    """Whether those were written here."""
    whole, own = in_front(folder)
    said = whole / VERSION / SAID
    return own.is_dir() and said.is_file() and said.read_text(encoding="utf-8") == _said(folder)


def _said(folder: Path) -> str:
    return f"{folder.name}{TOKENIZER}, then {folder.name}\n"


def write_in_front(folder: Path, session: Session, config: Config) -> list[str]:
    """Write the tokeniser and the ensemble beside the model in ``folder``; notes on them.

    Args:
        folder: of the model of ids.
        session: that model, which carries its tokenisers.
        config: what Triton is told of it.
    """
    whole, first = in_front(folder)
    front = _Front(first, session, config)
    notes = []
    with new_folder(front.folder / VERSION):
        try:
            own = front.write_onnx()
        except UnsupportedError as error:
            why = f"ONNX has no operators for {error.setting}={error.value!r}"
            notes.append(f"{front.folder.name} is a model of Triton's backend for Python: {why}")
            own = front.write_python()
        write_config(front.folder, own, None)
    with new_folder(whole / VERSION):
        # An ensemble has a version too, whose folder would be empty, and lost where only files are copied.
        write_text(whole / VERSION / SAID, _said(folder))
        write_config(whole, front.ensemble(whole.name, own), session.labels)
    return notes


@dataclass(frozen=True)
class _Front:
    """What stands in front of a model.

    Args:
        folder: of the tokeniser.
        session: the model of ids.
        model: what Triton is told of it.
    """

    folder: Path
    session: Session
    model: Config

    @cached_property
    def names(self) -> dict[str, str]:
        """What the ids are called, by the inputs that they are for, some of which are called as the texts."""
        texts = {one.source for one in self.session.tokenizers.values()}
        return {name: f"{name}_ids" if name in texts else name for name in self.session.tokenizers}

    @property
    def ids(self) -> list[Value]:
        given = self.session.input_values
        return [Value(self.names[one.name], one.shape, one.dtype) for one in given if one.name in self.names]

    @property
    def pads(self) -> bool:
        """Whether rows of several requests may be padded to one length, as the model does not see it."""
        return self.session.masked and self.model.together

    def write_onnx(self) -> Config:
        """Write the ONNX file, and say what it is; `UnsupportedError` where there are no operators for it."""
        from export.deploy.triton.onnx_tokenizer import write_onnx

        texts = write_onnx(self.folder / VERSION / MODEL, self.session, self.names)
        every = self.session.tokenizers.values()
        together = self.pads or all(one.length is not None for one in every)
        # An error is one of all that came together.
        together = together and not any(one.refuses for one in every)
        return Config(self.folder.name, "onnxruntime", texts, self.ids, on_cpu=True, together=together)

    def write_python(self) -> Config:
        """Write a model of the backend for Python, and say what it is."""
        tokenizers = self.session.tokenizers
        write_text(self.folder / VERSION / "tokenizers.json", json.dumps(to_data(tokenizers)))
        write_text(self.folder / VERSION / "model.py", tokenizer_model.source())
        inputs = {
            one.source: Value(one.source, ("N", "T")[: self._rank(name)], "str")
            for name, one in tokenizers.items()
        }
        return Config(
            self.folder.name,
            "python",
            list(inputs.values()),
            self.ids,
            on_cpu=True,
            parameters={"pads": json.dumps(self.pads)},
        )

    def _rank(self, name: str) -> int:
        """Of the texts of which an input is made."""
        shapes = {value.name: value.shape for value in self.session.input_values}
        return len(shapes[name]) if self.session.tokenizers[name].split == "none" else 1

    def ensemble(self, name: str, own: Config) -> Config:
        """Both in turn."""
        values = self.session.input_values
        texts = {value.name: value for value in own.inputs}
        others = {value.name: value for value in values if value.name not in self.names}
        given = {value.name: self.names.get(value.name, value.name) for value in values}
        sources = source_names([value.name for value in values], self.session.tokenizers)
        steps = [
            Step(own.name, {name: name for name in texts}, {name: name for name in self.names.values()}),
            Step(self.model.name, given, {value.name: value.name for value in self.model.outputs}),
        ]
        inputs = [texts.get(source) or others[source] for source in sources]
        return replace(self.model, name=name, backend=None, inputs=inputs, steps=steps)
