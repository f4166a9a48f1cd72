"""How an attention layer is called in a file: what Keras itself does not take is told by name."""

from typing import Any

import pytest

from biport.errors import FileError
from keras_side.shared.attention import one_head_calls


@pytest.mark.parametrize(
    "arguments", [[["q"]], [["q", "v", "k", "x"]], [("q", "v")], ["q"], [], [["q", "v"], ["q", "v"]]]
)
def test_one_head_takes_a_list_of_two_or_three(arguments: list[Any]) -> None:
    with pytest.raises(FileError, match="layer 'a': is called with something else than a list of 2 or 3"):
        one_head_calls("layer 'a'", arguments, {})


@pytest.mark.parametrize("sequences", [["q", "v"], ["q", "v", "k"]])
def test_it_may_be_called_by_name(sequences: list[str]) -> None:
    assert one_head_calls("a", [sequences], {}).sequences == sequences
    assert one_head_calls("a", [], {"inputs": sequences}).sequences == sequences
