"""Checkpoints: what they are wrapped in, what does not fit, what is never executed."""

from __future__ import annotations

import argparse
import datetime
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import torch_side
from biport.errors import FileError, WeightError
from torch_side.reading import checkpoints


class Tagger(nn.Module):
    def __init__(self, hidden: int = 3, tied: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.rnn = nn.LSTM(4, hidden, batch_first=True)
        self.norm = nn.BatchNorm1d(hidden)
        self.out = nn.Linear(4, 7) if tied else nn.Linear(hidden, 2)
        if tied:
            self.out.weight = self.embed.weight


class Evil:
    """Touches a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


State = Mapping[str, torch.Tensor]


def prefixed(prefix: str, state: State) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


WRAPPED: dict[str, tuple[Callable[[State], Any], list[str]]] = {
    "plain": (lambda state: state, []),
    "nested": (lambda state: {"epoch": 3, "model_state_dict": state}, ["taken from 'model_state_dict'"]),
    "data parallel": (lambda state: prefixed("module.", state), ["prefix 'module.'"]),
    "lightning": (
        lambda state: {
            "state_dict": prefixed("model.", state) | {"loss.weight": torch.ones(2)},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
            "hyper_parameters": argparse.Namespace(hidden=3),
            "best": np.float64(0.5),
        },
        ["taken from 'state_dict'", "prefix 'model.'", "left out, without that prefix: loss.weight"],
    ),
    "compiled": (lambda state: prefixed("_orig_mod.", state), ["'_orig_mod.' of torch.compile"]),
    "compiled inside": (
        lambda state: {name.replace("rnn.", "rnn._orig_mod."): one for name, one in state.items()},
        ["'_orig_mod.' of torch.compile"],
    ),
    "of their own": (
        lambda state: {"best": {"weights": prefixed("tagger.", state)}},
        ["taken from 'best.weights'", "prefix 'tagger.'"],
    ),
    "the usual one of two": (
        lambda state: prefixed("ema.", state) | prefixed("model.", state),
        ["prefix 'model.'"],
    ),
    "rounded": (
        lambda state: {name: one.double() if one.is_floating_point() else one for name, one in state.items()},
        ["converted from float64 to float32"],
    ),
}


def differing(one: nn.Module, two: nn.Module) -> list[str]:
    second = two.state_dict()
    return [name for name, tensor in one.state_dict().items() if not torch.equal(tensor, second[name])]


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_weights_are_found_in_what_wraps_them(wrapped: str, legacy: bool, tmp_path: Path) -> None:
    wrap, notes = WRAPPED[wrapped]
    source, target = Tagger(), Tagger()
    path = tmp_path / "weights"
    torch.save(wrap(source.state_dict()), path, _use_new_zipfile_serialization=not legacy)
    assert differing(source, target)
    loaded = torch_side.load_checkpoint(target, path)
    assert differing(source, target) == []
    assert {*loaded.names} == {*source.state_dict()}
    outside = [note for note in loaded.notes if note.startswith("left out")]
    assert len(loaded.notes) == len(notes) + (len(outside) if wrapped == "the usual one of two" else 0)
    assert all(any(note in told for told in loaded.notes) for note in notes)


def test_safetensors_and_tied_weights(tmp_path: Path) -> None:
    source, target = Tagger(tied=True), Tagger(tied=True)
    state = {name: one for name, one in source.state_dict().items() if name != "out.weight"}
    save_file(state, tmp_path / "model.safetensors")
    torch_side.load_checkpoint(target, tmp_path / "model.safetensors")
    assert differing(source, target) == []
    assert target.out.weight is target.embed.weight


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_large_tensors_are_copied_piece_by_piece(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("LARGE", 60), ("PIECE", 32), ("REMAPPED", 64)):
        monkeypatch.setattr(checkpoints, name, size)
    source, target, path = Tagger(tied=True).double(), Tagger(tied=True), tmp_path / "w"
    state = {f"net.{name}": one for name, one in source.state_dict().items() if name != "out.weight"}
    save_file(state, path) if kind == "safetensors" else torch.save(
        {"net": state}, path, _use_new_zipfile_serialization=kind == "zip"
    )
    own = {name: tensor.data_ptr() for name, tensor in target.state_dict().items()}
    loaded = torch_side.load_checkpoint(target, path)
    assert "converted from float64 to float32" in loaded.notes
    assert differing(source.float(), target) == []
    assert {name: tensor.data_ptr() for name, tensor in target.state_dict().items()} == own


def test_all_that_does_not_fit_is_named_at_once(tmp_path: Path) -> None:
    source, target = Tagger(hidden=5), Tagger()
    state = {**source.state_dict(), "extra": torch.ones(1), "out.bias": torch.ones(2, dtype=torch.int64)}
    del state["embed.weight"], state["norm.num_batches_tracked"]
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(WeightError) as caught:
        torch_side.load_checkpoint(target, tmp_path / "w.pt")
    message = str(caught.value)
    assert "w.pt: the weights (those under 'state_dict') do not fit Tagger: missing embed.weight" in message
    for part in (
        "unexpected extra",
        "rnn.weight_ih_l0 should be float32 (12, 4), found float32 (20, 4)",
        "out.bias should be float32 (2,), found int64 (2,)",
    ):
        assert part in message
    assert "num_batches_tracked" not in message
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())


def test_parts_that_fit_equally_well_are_not_chosen_from(tmp_path: Path) -> None:
    state = Tagger().state_dict()
    torch.save(prefixed("student.", state) | prefixed("teacher.", state), tmp_path / "w.pt")
    with pytest.raises(WeightError, match=r"prefixes 'student\.', 'teacher\.'"):
        torch_side.load_checkpoint(Tagger(), tmp_path / "w.pt")
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(WeightError, match="holds no weights"):
        torch_side.load_checkpoint(Tagger(), tmp_path / "w.pt")


def test_a_pickle_of_more_is_refused_and_not_executed(tmp_path: Path) -> None:
    touched, path = tmp_path / "touched", tmp_path / "w.pt"
    state = Tagger().state_dict()
    for content, name in (
        ({"state_dict": state, "evil": Evil(touched)}, "getattr"),
        (Tagger(), "Tagger"),
        ({"state_dict": state, "when": datetime.date(2020, 1, 1)}, "datetime.date"),
    ):
        torch.save(content, path)
        with pytest.raises(FileError, match=rf"w\.pt: holds a pickle of .*{name}.*torch\.save\(model\.state"):
            torch_side.load_checkpoint(Tagger(), path)
    assert not touched.exists()


def test_a_file_that_is_damaged_or_something_else(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with pytest.raises(FileError, match="no such file"):
        torch_side.load_checkpoint(Tagger(), path)
    torch.save(Tagger().state_dict(), path)
    whole = path.read_bytes()
    for length in (70, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match=r"w\.pt: "):
            torch_side.load_checkpoint(Tagger(), path)
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as archive,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as other,
    ):
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    with pytest.raises(FileError, match="compressed members"):
        torch_side.load_checkpoint(Tagger(), path)
    save_file({"a": torch.ones(9)}, path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FileError, match="damaged"):
        torch_side.load_checkpoint(Tagger(), path)
    path.write_text("weights")
    with pytest.raises(FileError, match=r"is not a checkpoint of .* but a text file"):
        torch_side.load_checkpoint(Tagger(), path)
