"""A model as a command is told of it: a path, or a name in the user's own Python, and what goes with that."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biport.app.user_module import classes_in, names_module
from biport.errors import Argument, InputError
from biport.file_kind import FileKind, file_kind


@dataclass(frozen=True)
class ModuleOptions:
    """What goes with a module of the user's own.

    Args:
        checkpoint: a file with its weights.
        args: keyword arguments of its class in JSON, or ``@`` and a file of it.
        example: its inputs, as in `biport.app.examples`; without, they are guessed.
        lengths: the inputs that are lengths of rows.
    """

    checkpoint: Path | None = None
    args: str | None = None
    example: Sequence[str] = ()
    lengths: Sequence[str] = ()


@dataclass(frozen=True)
class Source:
    """A model, as a command is told of it.

    Args:
        text: a path, or ``tagger.py:Tagger`` or ``package.module:Tagger``.
        config: the configuration of a Keras file of weights alone.
        code: the Python file with the custom code of a Keras file.
        states: what is read of the states of stateful layers, see `keras_side.read`.
        module: what goes with a module.
    """

    text: str
    config: Path | None = None
    code: Path | None = None
    states: str | None = None
    module: ModuleOptions = dataclasses.field(default_factory=ModuleOptions)

    def __str__(self) -> str:
        return self.text

    @property
    def path(self) -> Path:
        """The file or folder."""
        return Path(self.text)

    @property
    def is_module(self) -> bool:
        """Whether it names a module in Python."""
        return names_module(self.text)

    @property
    def is_program(self) -> bool:
        """Whether it is a program of `torch.export.save`."""
        return self.path.is_file() and file_kind(self.path) is FileKind.EXPORTED

    @property
    def is_keras_file(self) -> bool:
        """Whether it is a file of Keras, or may be one."""
        kinds = FileKind.KERAS_ARCHIVE, FileKind.DAMAGED_ZIP, FileKind.HDF5
        return (
            not self.is_module
            and not self.path.is_dir()
            and (not self.path.is_file() or file_kind(self.path) in kinds)
        )

    @property
    def stem(self) -> str:
        """What a file made of it may be called."""
        return self.text.rpartition(":")[2].lower() if self.is_module else self.path.resolve().stem

    @property
    def files(self) -> list[Path]:
        """What it is read from, and nothing may be written to."""
        own = Path(self.text.rpartition(":")[0]) if self.is_module else self.path
        return [own, *(path for path in (self.code, self.module.checkpoint) if path is not None)]

    def check(self) -> None:
        """Refuse what goes with other models.

        Raises:
            InputError: naming it.
        """
        if self.code is not None and not self.is_keras_file:
            raise InputError(Argument("code"), f": goes with a .keras or .h5 file; found {self}")
        if self.is_module:
            return
        if self.path.suffix == ".py" and self.path.is_file():
            names = ", ".join(classes_in(self.path)) or "none"
            raise InputError(f"{self}: say which module of it, such as {self}:NAME; its classes are {names}")
        for name in ("checkpoint", "args", "example", "lengths"):
            if getattr(self.module, name):
                raise InputError(
                    Argument(name), f": goes with a module in Python, such as tagger.py:Tagger; found {self}"
                )
