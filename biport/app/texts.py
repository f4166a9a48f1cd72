"""What commands are told of texts: the file of a tokeniser, and how rows are cut and padded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biport.analysis.text_model import with_tokenizer
from biport.app.forms import Form
from biport.errors import Argument, InputError
from biport.graph import Graph, Value
from biport.text import Tokenizer, read_tokenizer
from biport.text.standardize import Standardize
from biport.text.tokenizer import End, Split


@dataclass(frozen=True)
class TextOptions:
    """How texts become ids.

    Args:
        vocabulary: the file of a tokeniser, see `biport.text.read_tokenizer`; ``None`` for the one that the
            model has.
        standardize: for a file that has tokens alone.
        split: likewise.
        maxlen: to how many steps rows are cut and padded; in place of what the file says, as all that
            follow.
        padding: the end of a short row that padding goes to.
        truncating: the end of a long row that loses tokens.
        padding_id: what short rows are filled up with.
    """

    vocabulary: Path | None = None
    standardize: Standardize | None = None
    split: Split | None = None
    maxlen: int | None = None
    padding: End | None = None
    truncating: End | None = None
    padding_id: int | None = None

    @property
    def given(self) -> bool:
        """Whether anything is said."""
        return self != TextOptions()

    def read(self) -> Tokenizer | None:
        """The tokeniser of the file, its rows laid out as is said; ``None`` without a file.

        Raises:
            BiportError: as `biport.text.read_tokenizer`; or the settings do not go together.
        """
        if self.vocabulary is None:
            if self.standardize is not None or self.split is not None:
                raise InputError(
                    Argument("standardize", self.standardize),
                    " and split go with ",
                    Argument("vocabulary", "..."),
                )
            return None
        own = {"padding_id": self.padding_id, "standardize": self.standardize, "split": self.split}
        return self.laid_out(read_tokenizer(self.vocabulary, **own))

    def laid_out(self, tokenizer: Tokenizer) -> Tokenizer:
        """The tokeniser with its rows laid out as is said.

        Example:
            >>> TextOptions(maxlen=2, padding="pre").laid_out(Tokenizer(("a",))).encode_batch(["a"]).tolist()
            [[0, 2]]
        """
        said = {
            "length": self.maxlen,
            "padding": self.padding,
            "truncating": self.truncating,
            "padding_id": self.padding_id,
        }
        return dataclasses.replace(tokenizer, **{name: one for name, one in said.items() if one is not None})

    def instead(self, own: Tokenizer | None, values: Sequence[Value]) -> Tokenizer:
        """The tokeniser of the file, or that of the model laid out as is said.

        Args:
            own: that of the model.
            values: the inputs of the model; where they have one length, and the end of rows that is padded is
                said, rows have that length.

        Raises:
            BiportError: as `read`; or there is none to lay out.
        """
        read = self.read()
        if read is not None:
            return self._of_fixed_length(read, values)
        if own is None:
            raise InputError(
                Argument("maxlen", self.maxlen),
                ", padding and truncating are of texts, and the model has no tokeniser; say ",
                Argument("vocabulary", "..."),
            )
        return self._of_fixed_length(self.laid_out(own), values)

    def spoken(self, graph: Graph, stored: bool = False) -> Graph:
        """The graph with the tokeniser that it is given, or its own laid out as is said.

        Args:
            graph: the model.
            stored: whether it is from a folder of biport, whose tokeniser another file takes the place of.

        Raises:
            BiportError: as `read`; or they do not go together, or there is none to lay out.
        """
        if not self.given:
            return graph
        if self.vocabulary is not None or not graph.tokenizers:
            bare = dataclasses.replace(graph, tokenizers={}) if stored else graph
            return with_tokenizer(bare, self.instead(None, graph.inputs))
        own = {name: self.instead(one, graph.inputs) for name, one in graph.tokenizers.items()}
        return dataclasses.replace(graph, tokenizers=own)

    def notes(self, graph: Graph) -> list[str]:
        """What makes ids of the texts of a model, a line each, where anything was said of it."""
        own = graph.tokenizers.items() if self.given else ()
        return [f"texts of input {name!r}: {one.summary}" for name, one in own]

    def form(self, form: Form) -> Form:
        """A form of a model with the tokeniser that it is given, where it has none; of one that is read.

        Raises:
            BiportError: as `spoken`.
        """
        if not self.given or form.graph is None or form.graph.tokenizers:
            return form
        return dataclasses.replace(form, graph=self.spoken(form.graph))

    def _of_fixed_length(self, tokenizer: Tokenizer, values: Sequence[Value]) -> Tokenizer:
        shapes = {value.shape[1] for value in values if len(value.shape) == 2}
        steps = shapes.pop() if len(shapes) == 1 else None
        if self.padding is None or tokenizer.length is not None or not isinstance(steps, int):
            return tokenizer
        return dataclasses.replace(tokenizer, length=steps)
