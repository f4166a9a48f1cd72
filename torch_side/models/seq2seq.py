"""Sequence to sequence: a bidirectional encoder, a decoder that starts from its states, attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from biport.graph import Value
from torch_side.layers import AdditiveAttention, Attention, Concatenate, MaskedGRU, MaskedLSTM
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

        self.source_embedding = nn.Embedding(source_size, embedding_size)
        inputs = (embedding_size, *(2 * hidden_size for hidden_size in units))
        for k, hidden_size in enumerate(units, start=1):
            encoder = recurrent(cell, inputs[k - 1], hidden_size, masked, bidirectional=True)
            self.add_module(f"encoder_{k}", encoder)
        for name in self.state_names:
            self.add_module(f"bridge_{name}", Concatenate(dim=-1))
            if bridge == "dense":
                self.add_module(f"initial_{name}", nn.Linear(size, decoder_units))

        self.target_embedding = nn.Embedding(target_size, embedding_size)
        self.decoder = recurrent(cell, embedding_size, decoder_units, masked)
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
            IndexError: ids are not below their V, or negative.
        """
        source_mask = source != 0 if self.masked else None
        target_mask = target != 0 if self.masked else None
        encoded, states = self.encode(source, source_mask)
        x = self.target_embedding(target)
        start = [state.unsqueeze(0) for state in states]
        hx = tuple(start) if len(start) > 1 else start[0]
        x, final = self.decoder(x, hx) if target_mask is None else self.decoder(x, hx, mask=target_mask)
        if self.attention is not None:
            selected, _ = self.attention(x, encoded, self.keys(encoded), value_mask=source_mask)
            x = self.joined([x, selected])
        probabilities = torch.softmax(self.words(x), dim=-1)
        return (probabilities, *(state[0] for state in listed(final))) if self.return_state else probabilities

    def encode(self, source: Tensor, mask: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """``(N, S)`` ids to the encoder's outputs, ``(N, S, 2 H)``, and the decoder's initial states."""
        x = self.source_embedding(source)
        final: Tensor | tuple[Tensor, ...] = ()
        for k in range(1, self.depth + 1):
            layer = self.get_submodule(f"encoder_{k}")
            x, final = layer(x) if mask is None else layer(x, mask=mask)
        initial = []
        for name, directions in zip(self.state_names, listed(final), strict=True):
            state = self.get_submodule(f"bridge_{name}")([directions[0], directions[1]])
            if self.bridge == "dense":
                state = torch.tanh(self.get_submodule(f"initial_{name}")(state))
            initial.append(state)
        return x, initial


def recurrent(
    cell: str, input_size: int, hidden_size: int, masked: bool, bidirectional: bool = False
) -> nn.LSTM | nn.GRU:
    """An LSTM or a GRU, which skips padding or takes it for steps like others."""
    if masked:
        # At padding the output repeats what it was before, but in two directions.
        masked_layer = MaskedLSTM if cell == "lstm" else MaskedGRU
        settings = {"bidirectional": bidirectional, "zero_output_for_mask": bidirectional}
        return masked_layer(input_size, hidden_size, **settings)
    layer = nn.LSTM if cell == "lstm" else nn.GRU
    return layer(input_size, hidden_size, batch_first=True, bidirectional=bidirectional)


def listed(states: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The states of an LSTM, or the one of a GRU."""
    return states if isinstance(states, tuple) else (states,)


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
