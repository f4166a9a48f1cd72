"""What commands are told of a CTC model: what its classes are called, and which is the blank."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from biport.analysis.text_model import with_alphabet
from biport.app.forms import Form
from biport.errors import Argument, InputError
from biport.graph import Graph
from biport.text.alphabet import Alphabet, Scores, blank_of, read_characters


@dataclass(frozen=True)
class CtcOptions:
    """How texts are read off a sequence of CTC.

    Args:
        ctc: the class of the blank: ``"last"``, ``"first"`` or a number; the last where only characters are
            given.
        characters: the labels of the other classes, or a file of them, see
            `biport.text.alphabet.read_characters`.
        scores: what the numbers are, where the model does not tell.
        beam_width: of the beam search that reads the texts; ``None`` where nobody says, which is greedy.
    """

    ctc: str | None = None
    characters: str | None = None
    scores: Scores | None = None
    beam_width: int | None = None

    @property
    def given(self) -> bool:
        """Whether anything is said of what the classes are."""
        return dataclasses.replace(self, beam_width=None) != CtcOptions()

    def read(self) -> tuple[tuple[str, ...], int]:
        """The labels, and the class of the blank.

        Raises:
            InputError: there are no labels, or the blank is none of their classes.
            FileError: their file cannot be read.
        """
        if self.characters is None:
            raise InputError(
                Argument("ctc", self.ctc or "last"), ": goes with ", Argument("characters", "...")
            )
        characters = read_characters(self.characters)
        return characters, blank_of(self.ctc or "last", characters)

    def spelled(self, graph: Graph) -> Graph:
        """The graph with the labels that it is given.

        Raises:
            BiportError: as `read` and `biport.analysis.text_model.with_alphabet`.

        Example:
            >>> from biport import ops
            >>> from biport.graph import Node, Value
            >>> node = Node("y", ops.Activation(function="log_softmax"), ("x",))
            >>> graph = Graph((Value("x", ("N", "T", 3), "float32"),), (node,), ("y",))
            >>> CtcOptions("first", "ab").spelled(graph).alphabet
            Alphabet(characters=('a', 'b'), blank=0, scores='log_probabilities')
        """
        return with_alphabet(graph, *self.read(), self.scores) if self.given else graph

    def alphabet(self, own: Alphabet | None) -> Alphabet:
        """The labels for a file that says none, or other ones.

        Args:
            own: what the file says.

        Raises:
            InputError: as `read`; or nobody says what the numbers of the output are.
        """
        characters, blank = self.read()
        scores = self.scores or (own and own.scores)
        if scores is None:
            raise InputError(
                Argument("characters", self.characters),
                ": the file does not say what the numbers of its output are: ",
                Argument("scores", "probabilities"),
                ", log_probabilities or logits",
            )
        return Alphabet(characters, blank, scores)

    def check_reads(self, alphabet: Alphabet | None) -> None:
        """Refuse a beam where no texts are read off the output.

        Args:
            alphabet: what the classes of the model that is run are called.

        Raises:
            InputError: nobody says, and a width of the beam is given.
        """
        if self.beam_width is not None and alphabet is None:
            raise InputError(
                Argument("beam_width", self.beam_width),
                ": goes with a CTC model, and nobody says what the classes of this one are called; ",
                Argument("characters"),
                " does",
            )

    def form(self, form: Form) -> Form:
        """A form of a model with the labels that it is given; of one that is read.

        Raises:
            BiportError: as `spelled`.
        """
        if not self.given or form.graph is None:
            return form
        taken = form.taken and dataclasses.replace(form.taken, alphabet=None)
        return dataclasses.replace(form, graph=self.spelled(form.graph), taken=taken)

    def notes(self, graph: Graph) -> list[str]:
        """How texts are read off a model, where anything was said of it."""
        if not self.given or graph.alphabet is None:
            return []
        return [f"texts of output {graph.outputs[0]!r}: {graph.alphabet.summary}"]
