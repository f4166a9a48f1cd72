"""Files of real, old versions of Keras: 1.2.2 to 3.13, held against what those predicted."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from old_files import ALLOWED, VERSIONS, OldFile, largest_error, unpack

import export
import keras_side
import torch_side
from biport.errors import UnsupportedModelError

BEFORE_2_3 = "keras-2.[012].*"
REFUSED = {
    ("*", "custom"): {"class"},
    ("keras-3.*", "custom"): {"module"},
    ("tf*", "custom"): {"class", "module"},
    ("*", "lambda"): {"class"},
    ("*", "stateful"): {"stateful"},
    ("keras-1.*", "merge_dot"): {"class"},
    (BEFORE_2_3, "calls_initial"): {"initial_state"},
    (BEFORE_2_3, "calls_initial_bi"): {"initial_state"},
    (BEFORE_2_3, "seq2seq_gru"): {"initial_state"},
    (BEFORE_2_3, "seq2seq_masked"): {"initial_state"},
    ("keras-2.1.6", "cells_states"): {"states"},
    ("keras-2.2.4", "cells_masked"): {"mask"},
}
"""By version and model: the settings that are refused; all other files are read exactly."""


GENERATIONS = "keras-1.2.2", "keras-2.2.4", "keras-3.13.0", "tfkeras-2.9"
"""One of each, which `make test` reads; the others are in `make sweep`."""


def refused(version: str, file: OldFile) -> set[str]:
    rows = [what for (at, name), what in REFUSED.items() if file.name == name and fnmatch(version, at)]
    return set().union(*rows)


@pytest.mark.parametrize(
    "version",
    [name if name in GENERATIONS else pytest.param(name, marks=pytest.mark.sweep) for name in VERSIONS],
)
def test_a_file_means_what_it_meant(version: str, tmp_path: Path) -> None:
    files = list(unpack(version, tmp_path))
    assert len(files) >= 26
    errors = {}
    for file in files:
        expected = refused(version, file)
        if expected:
            with pytest.raises(UnsupportedModelError) as caught:
                file.read()
            settings = {reason["setting"] for reason in caught.value.reasons()}
            assert settings <= expected, (file.path.name, caught.value)
            assert keras_side.inspect(file.path, file.config).problem is not None
            if file.name == "stateful":
                assert largest_error(file, "zero") <= ALLOWED
        elif file.predictions is None:
            file.read()  # That Keras could save it, but not run it.
        else:
            errors[file.path.name] = largest_error(file)
    assert {name: error for name, error in errors.items() if error > ALLOWED} == {}
    assert len(errors) >= 20


@pytest.mark.sweep
@pytest.mark.parametrize("version", ["keras-1.2.2", "keras-2.2.4", "tfkeras-2.13"])
def test_what_they_are_ported_to_predicts_the_same(version: str, tmp_path: Path) -> None:
    for file in unpack(version, tmp_path):
        if file.predictions is None or refused(version, file) or file.path.suffix == ".keras":
            continue
        graph = file.read()
        inputs = file.inputs(graph)
        export.write(graph, tmp_path / "model.onnx", overwrite=True, vectors=False)
        for form, outputs in (
            ("torch", torch_side.run(torch_side.write(graph), inputs)),
            ("onnx", export.Session(tmp_path / "model.onnx").run(inputs)),
        ):
            for one, two in zip(outputs, file.arrays("output"), strict=True):
                message = f"{file.path.name} as {form}"
                np.testing.assert_allclose(one, two, rtol=3e-6, atol=3e-6, err_msg=message)
