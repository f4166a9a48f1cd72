"""Every hostile file ends in an error of biport's own that names it, within ten seconds and one gigabyte."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hostile_files
import pytest
from hostile_files import ARCHIVE, HDF5, WEIGHTS, whole
from hostile_run import Outcome, outcomes

import keras_side
from biport.errors import MAX_TEXT, BiportError, FileError, UnsupportedError, printable, shown
from keras_side.masks import InTime, Mask, Unequal

SECONDS, MEGABYTES = 10.0, 1000
"""A fifth of that on a quick processor that does nothing else."""
SAMPLE = 18
"""Of every group each file of so many is read in `make test`; all are in `make sweep`."""


def faults(outcome: Outcome, good: str) -> list[str]:
    """What is wrong with what became of a file."""
    wrong = []
    if outcome.reads is None and not outcome.is_typed:
        wrong.append("no error of biport's own")
    if outcome.reads is None and not outcome.names_file:
        wrong.append("does not name the file")
    if outcome.reads is not None and outcome.ending != "Graph":
        wrong.append("is not read")
    if outcome.reads == "good" and outcome.digest != good:
        wrong.append("is read as something else")
    if not all(line.isprintable() for line in outcome.message.split("\n")):
        wrong.append("raw control characters")
    if outcome.seconds > SECONDS:
        wrong.append(f"{outcome.seconds:.1f} seconds")
    if outcome.megabytes > MEGABYTES:
        wrong.append(f"{outcome.megabytes:.0f} MB")
    if outcome.left:
        wrong.append(f"writes {outcome.left}")
    return wrong


@pytest.mark.sweep
@pytest.mark.parametrize("group", hostile_files.FILES)
def test_every_hostile_file(group: str, tmp_path: Path) -> None:
    check_files(outcomes(group), len(hostile_files.FILES[group]), tmp_path)


def test_some_hostile_files_of_every_kind(tmp_path: Path) -> None:
    count = sum(len(files[::SAMPLE]) for files in hostile_files.FILES.values())
    check_files(outcomes(*hostile_files.FILES, every=SAMPLE), count, tmp_path)


def check_files(results: Sequence[Outcome], count: int, tmp_path: Path) -> None:
    good = keras_side.read(whole(tmp_path, ARCHIVE)[0]).digest()
    assert len(results) == count
    wrong = {
        f"{item.name} ({item.container})": (item, bad) for item in results if (bad := faults(item, good))
    }
    assert not wrong


def test_a_fault_would_be_seen() -> None:
    fine = Outcome("x", HDF5, None, "FileError", "hostile.h5: x", is_typed=True, names_file=True)
    assert not faults(fine, "")
    spoilt: list[dict[str, Any]] = [
        {"is_typed": False},
        {"names_file": False},
        {"message": "\x1b[2J"},
        {"seconds": 11.0},
        {"megabytes": 1001.0},
        {"left": ("evil.txt",)},
        {"reads": "good"},
        {"reads": "good", "ending": "Graph", "digest": "other"},
    ]
    for bad in spoilt:
        assert faults(dataclasses.replace(fine, **bad), "")


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut out, put in, or copied over others."""
    changed = bytearray(content)
    offset = rng.randrange(len(content))
    match rng.randrange(6):
        case 0:
            return content[:offset]
        case 1:
            changed[offset : offset + rng.randint(1, 300)] = b""
        case 2:
            changed[offset:offset] = rng.randbytes(rng.randint(1, 300))
        case 3:
            size, start = rng.choice([8, 64, 256]), rng.randrange(len(content)) & ~7
            changed[start : start + size] = changed[offset & ~7 : (offset & ~7) + size]
        case _:
            used = [index for index, byte in enumerate(content) if byte]
            for _ in range(rng.choice([1, 1, 2, 5, 20])):
                changed[rng.choice(used)] = rng.choice([0, 1, 2, 8, 127, 128, 255, rng.randrange(256)])
    return bytes(changed)


@pytest.mark.parametrize("container", [ARCHIVE, HDF5, WEIGHTS])
def test_random_damage(container: str, tmp_path: Path) -> None:
    """HDF5 damaged at random is read or refused; of an archive it is damaged behind right checksums."""
    rng = random.Random(container)
    path, beside = whole(tmp_path, container)
    parts = hostile_files.members(tmp_path)
    content = parts["model.weights.h5"] if container == ARCHIVE else path.read_bytes()
    endings: set[str] = set()
    for _ in range(250):
        spoilt = damaged(content, rng)
        if container == ARCHIVE:
            hostile_files.zipped(path, parts | {"model.weights.h5": spoilt})
        else:
            path.write_bytes(spoilt)
        try:
            keras_side.read(path, *([beside] if beside else []))
            endings.add("Graph")
        except BiportError as error:
            assert path.name in str(error)  # noqa: PT017
            endings.add(type(error).__name__)
    assert {"Graph", "FileError"} <= endings


def test_a_configuration_that_holds_itself(tmp_path: Path) -> None:
    path, _ = whole(tmp_path, WEIGHTS)
    config: dict[str, Any] = hostile_files.good()
    config["config"]["layers"].append(config)
    with pytest.raises(FileError, match="JSON"):
        keras_side.read(path, config)


def test_masks_are_compared_by_digest() -> None:
    def grown(name: str) -> Mask:
        mask: Mask = Unequal("x", 0, name)
        for level in range(200):
            mask = InTime((mask, mask), f"{name}{level}")
        return mask

    one, two = grown("a"), grown("b")
    assert one == two
    assert hash(one) == hash(two)
    assert len(repr(one)) < 100
    assert one != InTime((one, one), "c")
    assert InTime((Unequal("x", 0, "m"),), "n") != InTime((Unequal("x", 1, "m"),), "n")


def test_a_text_for_the_terminal() -> None:
    assert printable("plain é ü 日本") == "plain é ü 日本"
    assert printable("\x1b[2J\n\u202e\ud800\x85") == "\\x1b[2J\\n\\u202e\\ud800\\x85"
    assert printable("x" * (MAX_TEXT + 5)).endswith("x [and 5 more characters]")
    for kind in (BiportError, FileError):
        assert str(kind("a\x07")) == "a\\x07"
    assert str(UnsupportedError("a\n", "b\r", "c\x1b")).isprintable()


def test_values_of_exponential_size_are_shown() -> None:
    value: Any = [1]
    for _ in range(100):
        value = [value, value]
    assert len(shown(value)) < 1000
    assert shown({"a": [1, "b"]}) == "{'a': [1, 'b']}"


def test_many_reasons_are_told_and_no_more(tmp_path: Path) -> None:
    layers = hostile_files._chain(300, "Lambda")
    data = hostile_files.weightless(layers, "layer299")
    with pytest.raises(UnsupportedError) as caught:
        keras_side.read(whole(tmp_path, ARCHIVE, data, empty=True)[0])
    assert len(caught.value.reasons()) == 100
    assert "100 or more things" in str(caught.value)


def test_models_refused_one_after_another_are_not_nested(tmp_path: Path) -> None:
    """Forty models beside each other, each refused: that is no depth of forty."""
    layers = [hostile_files.start("x", "float32", 3)]
    for number in range(40):
        inner = hostile_files.weightless(hostile_files._chain(1, "Lambda"), "layer0")
        model = hostile_files.entry("Functional", f"model{number}", hostile_files.call("x"))
        layers.append(model | {"config": inner["config"] | {"name": f"model{number}"}})
    data = hostile_files.functional(layers, [["x", 0, 0]], [[f"model{n}", 1, 0] for n in range(40)])
    with pytest.raises(UnsupportedError):
        keras_side.read(whole(tmp_path, ARCHIVE, data, empty=True)[0])
