"""Arrays of objects read without pickle: the same numbers as pickle gives, and no program run."""

from __future__ import annotations

import contextlib
import pickle
import pickletools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from biport.data.pickled import read_sequences

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300)
ROWS = st.lists(st.lists(NUMBERS, max_size=8), max_size=6)
PROTOCOLS = st.integers(2, pickle.HIGHEST_PROTOCOL)


def _array(rows: list[Any]) -> NDArray[Any]:
    array = np.empty(len(rows), object)
    for position, row in enumerate(rows):
        array[position] = row
    return array


def _pickled(rows: list[Any], protocol: int = 4) -> bytes:
    return pickle.dumps(_array(rows), protocol)


@given(ROWS, PROTOCOLS)
def test_lists_come_back(rows: list[list[int]], protocol: int) -> None:
    read = read_sequences(_pickled(rows, protocol))
    assert [row.tolist() for row in read] == rows
    assert all(row.dtype == np.int64 and row.ndim == 1 for row in read)


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<i8", "<u2", "i1", "u1", ">i8"])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_come_back(dtype: str, protocol: int) -> None:
    rows = [np.array(row, dtype) for row in ([1, 2, 100], [], [7])]
    assert [row.tolist() for row in read_sequences(_pickled(rows, protocol))] == [[1, 2, 100], [], [7]]


def test_a_file_of_python_2_is_read() -> None:
    # As NumPy wrote it there: no framing, the old module, byte strings, an int64 as a long.
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK?tb\x89]q\x06(]q\x07(K\x05M\x01\x02J\x00\x00\x01\x00\x8a\x02\xe8\x03e]q\x08etb."
    )
    assert [row.tolist() for row in read_sequences(content)] == [[5, 513, 65536, 1000], []]
    assert pickle.loads(content, encoding="latin1").tolist() == [[5, 513, 65536, 1000], []]


def test_rows_longer_than_a_batch_of_pickle_come_back() -> None:
    rows = [list(range(number, 70000, 30)) for number in range(3)]
    assert [row.tolist() for row in read_sequences(_pickled(rows))] == rows


class _Runs:
    """What a file would do if its pickle were run."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("the pickle was run",)


class _Calls:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "hostile", [_Runs(), _Calls(eval, ("1",)), _Calls(np.load, ("x",)), _Calls(getattr, ("a", "join")), print]
)
def test_no_name_but_those_of_an_array_is_known(hostile: Any, protocol: int) -> None:
    for content in (_pickled([[1], hostile], protocol), pickle.dumps(hostile, protocol)):
        with pytest.raises(ValueError, match="which no array needs"):
            read_sequences(content)


ROW = pickle.dumps(_array([[1]]), 2)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "breaks off"),
        (b"\x80\x02", "breaks off"),
        (b"J\x01\x02", "breaks off"),
        (ROW[:-1], "breaks off"),
        (b"\x80\x02K\x01.", "expected an array of objects"),
        (b"\x80\x02].", "expected an array of objects"),
        (b".", "takes more than there is"),
        (b"(.", "takes more than there is"),
        (b"e.", "has no mark"),
        (b"](K\x01\x85\x86.", "takes more than there is"),
        (b")K\x01a.", "appends to something other"),
        (b"h\x07.", "recalls what it has not met"),
        (b"I1\n.", "instruction 0x49 at byte 0"),
        (b"\x82\x01.", "instruction 0x82"),
        (b"Pabc\n.", "instruction 0x50"),
        (b"K\x01K\x02R.", "calls something"),
        (b"cnumpy\nndarray\n(K\x05tR.", "calls something"),
        (b"cnumpy\ndtype\n]K\x01b.", "calls something|sets the state"),
        (b"cnumpy\nndarray\nNb.", "sets the state"),
        (b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85RN}b.", "sets the state"),
        (b"cos\nsystem\n.", "names 'os', 'system'"),
        (b"cnumpy\nload", "breaks off"),
        (b"NN\x93.", "names something without a name"),
        (b"X\xff\xff\xff\x7fabc.", "breaks off"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "breaks off"),
        (b"X\x01\x00\x00\x00\xff.", "decode"),
    ],
)
def test_what_is_no_array_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_sequences(content)


def test_an_entry_of_the_memo_takes_no_memory() -> None:
    # pickle itself makes room for four billion entries here.
    with pytest.raises(ValueError, match="expected an array"):
        read_sequences(b"\x80\x02]r\xff\xff\xff\x7f.")


def test_a_list_in_itself_and_a_row_named_many_times_are_refused() -> None:
    own: list[Any] = []
    own.append(own)
    with pytest.raises(ValueError, match="row 0: expected a sequence"):
        read_sequences(_pickled([own]))
    with pytest.raises(ValueError, match="more numbers than bytes"):
        read_sequences(_pickled([list(range(1000))] * 1000))
    with pytest.raises(ValueError, match="more numbers than bytes"):
        read_sequences(_pickled([np.arange(1000)] * 1000))


@pytest.mark.parametrize(
    "row",
    [
        [1, 2.5],
        ["1"],
        [True],
        [None],
        [[1]],
        (1, 2),
        "12",
        5,
        None,
        [2**63],
        np.ones(2),
        np.ones((2, 2), int),
    ],
)
def test_rows_of_anything_but_whole_numbers_are_refused(row: Any) -> None:
    with pytest.raises(ValueError, match=r"row 1|instruction 0x47"):
        read_sequences(_pickled([[1], row]))


def test_an_array_of_more_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match="found another shape"):
        read_sequences(pickle.dumps(np.array([[1, 2], [3, 4]], object)))
    with pytest.raises(ValueError, match="expected an array of objects"):
        read_sequences(pickle.dumps(np.arange(3), 4))


@pytest.mark.sweep
def test_deep_nesting_does_not_end_the_process() -> None:
    deep = b")" + b"\x85" * 100_000
    array = pickle.dumps(_array([[1]]), 2)
    for content in (deep + b".", deep + b"N\x93.", array.replace(b"K\x01\x85", deep, 1), b"(" * 100_000):
        with pytest.raises(ValueError, match=r"\w"):
            read_sequences(content)


def test_an_array_may_not_say_what_it_is_not() -> None:
    # Numbers whose bytes are claimed to be objects: NumPy would take them for addresses.
    state = _pickled([np.arange(2, dtype="<i8")], 2).replace(b"i8", b"O8")
    with pytest.raises(ValueError, match="row 0"):
        read_sequences(state)
    with pytest.raises(ValueError, match="row 0"):
        read_sequences(_pickled([np.arange(2, dtype="<i8")], 2).replace(b"i8", b"i7"))


@given(
    ROWS, PROTOCOLS, st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4)
)
def test_damage_ends_in_numbers_or_in_a_value_error(
    rows: list[list[int]], protocol: int, damage: list[tuple[float, int]]
) -> None:
    content = bytearray(_pickled(rows, protocol))
    for position, byte in damage:
        content[int(position * len(content))] = byte
    with contextlib.suppress(ValueError):
        assert all(isinstance(row, np.ndarray) for row in read_sequences(bytes(content)))


OPCODES = [opcode.code for opcode in pickletools.opcodes]


@given(st.lists(st.sampled_from(OPCODES), max_size=40), st.binary(max_size=6))
def test_any_instructions_end_in_a_value_error(instructions: list[str], tail: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_sequences("".join(instructions).encode("latin-1") + tail)
