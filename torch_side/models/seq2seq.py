"""Sequence to sequence: a bidirectional encoder, a decoder that starts from its states, attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biport.graph import Value
from torch_side.layers import (
    GRU,
    LSTM,
    AdditiveAttention,
    Attention,
    Bidirectional,
    Concatenate,
    Embedding,
)
from torch_side.models.initial import initialise


class Seq2Seq(nn.Module):
    """Source ids and target ids, the decoder's input (teacher forcing), to the next word at every step.

    Its layers are called ``source_embedding``, ``encoder_1`` and so on, ``bridge_h`` and ``initial_h``, of an
    LSTM also ``bridge_c`` and ``initial_c``, ``target_embedding``, ``decoder``, ``keys``, ``attention``,
    ``joined`` and ``words``, as far as there are such. Weights are initialised as Keras does, see
    `torch_side.models.initial`.

    Args:
        source_size: V of the source; id 0 is padding.
        target_size: V of the target; likewise.
        embedding_size: the size of a token's vector, of either side.
        units: H of each layer of the encoder, in each direction.
        cell: ``"lstm"`` or ``"gru"``.
        bridge: how the encoder's last states become the decoder's first ones: ``"concat"``, both directions
            side by side, or ``"dense"``, with a dense layer after that for each state.
        decoder_units: H of the decoder; with ``"concat"`` it is 2 H of the encoder's last layer.
        attention: by what a step of the decoder selects from the encoder's outputs, which a dense layer has
            brought to its size: ``"dot"`` (Luong), ``"additive"`` (Bahdanau), or ``None`` for no attention.
        masked: whether padding is skipped, of source and target.
        return_state: whether the decoder's last states are outputs too, ``(N, H)`` each.

    Raises:
        ValueError: ``cell``, ``bridge`` or ``attention`` is another one, or ``decoder_units`` does not suit
            the bridge.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        embedding_size: int = 32,
        units: Sequence[int] = (32,),
        cell: str = "lstm",
        bridge: str = "concat",
        decoder_units: int | None = None,
        attention: str | None = "dot",
        masked: bool = True,
        return_state: bool = False,
    ) -> None:
        super().__init__()
        if cell not in ("lstm", "gru"):
            raise ValueError(f"cell should be lstm or gru, found {cell!r}")
        if bridge not in ("concat", "dense"):
            raise ValueError(f"bridge should be concat or dense, found {bridge!r}")
        if attention not in ("dot", "additive", None):
            raise ValueError(f"attention should be dot, additive or None, found {attention!r}")
        size = 2 * units[-1]
        decoder_units = decoder_units or size
        if bridge == "concat" and decoder_units != size:
            raise ValueError(f"decoder_units should be {size} with bridge concat, found {decoder_units}")
        self.depth, self.bridge, self.masked, self.return_state = len(units), bridge, masked, return_state
        self.state_names = ("h", "c") if cell == "lstm" else ("h",)
        # Source and target need not be of one length.
        self.input_values = Value("source", ("N", "T"), "int32"), Value("target", ("N", "T_2"), "int32")

        self.source_embedding = Embedding(source_size, embedding_size)
        inputs = (embedding_size, *(2 * hidden_size for hidden_size in units))
        for k, hidden_size in enumerate(units, start=1):
            last = k == len(units)
            encoder = Bidirectional(
                inputs[k - 1], hidden_size, kind=cell.upper(), return_sequences=True, return_state=last
            )
            self.add_module(f"encoder_{k}", encoder)
        for name in self.state_names:
            self.add_module(f"bridge_{name}", Concatenate(dim=-1))
            if bridge == "dense":
                self.add_module(f"initial_{name}", nn.Linear(size, decoder_units))

        self.target_embedding = Embedding(target_size, embedding_size)
        layer = LSTM if cell == "lstm" else GRU
        self.decoder = layer(embedding_size, decoder_units, return_sequences=True, return_state=True)
        self.attention = None
        if attention is not None:
            self.keys = nn.Linear(size, decoder_units, bias=False)
            self.attention = Attention() if attention == "dot" else AdditiveAttention(decoder_units)
            self.joined = Concatenate(dim=-1)
        self.words = nn.Linear(decoder_units + (size if attention else 0), target_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise all weights anew."""
        initialise(self)

    def forward(self, source: Tensor, target: Tensor) -> Tensor | tuple[Tensor, ...]:
        """``(N, S)`` and ``(N, T)`` ids to ``(N, T, target_size)`` probabilities, and states if asked for.

        Raises:
            InputError: ids are not below their V, negative, or not integers.
        """
        source_mask = source != 0 if self.masked else None
        target_mask = target != 0 if self.masked else None
        encoded, states = self.encode(source, source_mask)
        x, *states = self.decoder(self.target_embedding(target), mask=target_mask, states=states)
        if self.attention is not None:
            x = self.joined(x, self.attention(x, encoded, self.keys(encoded), value_mask=source_mask))
        probabilities = torch.softmax(self.words(x), dim=-1)
        return (probabilities, *states) if self.return_state else probabilities

    def encode(self, source: Tensor, mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """``(N, S)`` ids to the encoder's outputs, ``(N, S, 2 H)``, and the decoder's initial states."""
        x = self.source_embedding(source)
        for k in range(1, self.depth):
            x = self.get_submodule(f"encoder_{k}")(x, mask)
        x, *states = self.get_submodule(f"encoder_{self.depth}")(x, mask)
        # First the states of the forward direction, then those of the backward one.
        count = len(self.state_names)
        initial = []
        for name, forward, backward in zip(self.state_names, states[:count], states[count:], strict=True):
            state = self.get_submodule(f"bridge_{name}")(forward, backward)
            if self.bridge == "dense":
                state = torch.tanh(self.get_submodule(f"initial_{name}")(state))
            initial.append(state)
        return x, initial


def seq2seq(
    source_size: int,
    target_size: int,
    embedding_size: int = 32,
    units: Sequence[int] = (32,),
    cell: str = "lstm",
    bridge: str = "concat",
    decoder_units: int | None = None,
    attention: str | None = "dot",
    masked: bool = True,
    return_state: bool = False,
) -> Seq2Seq:
    """Build a `Seq2Seq`, in training mode; the arguments are described there."""
    return Seq2Seq(
        source_size,
        target_size,
        embedding_size,
        units,
        cell,
        bridge,
        decoder_units,
        attention,
        masked,
        return_state,
    )
