from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biport import weight_files
from biport.ops import same_bits
from biport.weight_files import load_tensors, mapped_weights, own_array, pieces, read_array, save_tensors


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    monkeypatch.setattr(weight_files, "LARGE", 10_000)
    monkeypatch.setattr(weight_files, "PIECE", 5_000)
    rng = np.random.default_rng(0)
    return {
        "table": rng.normal(size=(700, 9)).astype("float32"),
        "bias": rng.normal(size=3),
        "scalar": np.asarray(True),
        "nothing": np.zeros((0, 4), "int32"),
    }


def test_what_is_mapped_is_what_is_copied(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, arrays)
    copied = load_tensors(path)
    with mapped_weights():
        mapped = load_tensors(path)
    for name, array in arrays.items():
        assert same_bits(copied[name], array)
        assert same_bits(mapped[name], array)
        assert copied[name].flags.writeable
    assert not mapped["table"].flags.writeable
    assert mapped["bias"].flags.writeable
    assert len([*pieces(mapped["table"])]) > 1
    # Once more: the pages that were given back are read anew.
    assert np.array_equal(np.concatenate([*pieces(mapped["table"])]), arrays["table"])


def test_a_file_that_is_written_anew_leaves_a_copy_as_it_is(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, arrays)
    copied = load_tensors(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert same_bits(copied["table"], arrays["table"])


def test_arrays_of_a_live_model_are_copied_or_its_own(arrays: dict[str, np.ndarray]) -> None:
    with mapped_weights():
        own = own_array(arrays["table"])
        assert not np.shares_memory(own_array(arrays["bias"]), arrays["bias"])
    assert np.shares_memory(own, arrays["table"])
    assert [own.flags.writeable, arrays["table"].flags.writeable] == [False, True]
    assert not np.shares_memory(own_array(arrays["table"]), arrays["table"])


@pytest.mark.usefixtures("arrays")
def test_an_array_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes(100))
    with pytest.raises(EOFError):
        read_array(path, 4, np.dtype("float32"), (25,))
    with mapped_weights(), pytest.raises(EOFError):
        read_array(path, 4, np.dtype("float32"), (10_000,))
