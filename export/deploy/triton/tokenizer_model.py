"""A tokeniser as a model of Triton's backend for Python: NumPy and the standard library.

The source of `TritonPythonModel` and that of `biport.text.ids` are what its ``model.py`` is made of.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biport.syntax import parsed
from biport.text import ids
from biport.text.ids import ids_of, known_ids, padded, rows_of

triton: Any = None
"""The module that the server gives a ``model.py``; there it is imported."""
_HEAD = '''"""Makes ids of texts, by tokenizers.json beside this file; written by biport."""

from __future__ import annotations

'''
_IMPORTS = """import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as triton
"""


class TritonPythonModel:
    """Texts to ids, for what the server hands over together: a response for each request."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read how ids are made, and of which dtypes they are."""
        folder = Path(args["model_repository"]) / args["model_version"]
        config = json.loads(args["model_config"])
        self.tokenizers = json.loads((folder / "tokenizers.json").read_text(encoding="utf-8"))
        self.known = {name: known_ids(settings) for name, settings in self.tokenizers.items()}
        self.outputs = dict(zip(self.tokenizers, config["output"], strict=True))
        self.pads = config["parameters"]["pads"]["string_value"] == "true"

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Ids, or an error for a request with a text that has none."""
        tables = [self.tables_or_error(request) for request in requests]
        if self.pads:
            self.pad([table for table in tables if isinstance(table, dict)])
        return [self.response(table) for table in tables]

    def tables_or_error(self, request: Any) -> dict[str, list[list[int]]] | str:
        """By input of the model behind it the rows of ids that a request asks for."""
        try:
            return {name: self.rows(request, name) for name in self.tokenizers}
        except ValueError as error:
            return str(error)

    def rows(self, request: Any, name: str) -> list[list[int]]:
        """Rows of ids, padded to one length."""
        settings = self.tokenizers[name]
        array = triton.get_input_tensor_by_name(request, settings["source"]).as_numpy()
        texts = [[bytes(text).decode() for text in row] for row in array.reshape(len(array), -1)]
        given = texts if settings["split"] == "none" else [row[0] for row in texts]
        return rows_of(settings, [ids_of(settings, self.known[name], one) for one in given])

    def pad(self, tables: Sequence[dict[str, list[list[int]]]]) -> None:
        """Give all rows of an input one length: the server makes a batch of what has one shape."""
        for name, settings in self.tokenizers.items():
            width = max((len(row) for table in tables for row in table[name]), default=0)
            for table in tables:
                table[name] = [padded(settings, row, width) for row in table[name]]

    def response(self, tables: dict[str, list[list[int]]] | str) -> Any:
        """What the server is given back."""
        if isinstance(tables, str):
            return triton.InferenceResponse(error=triton.TritonError(tables))
        tensors = []
        for name, rows in tables.items():
            dtype = self.outputs[name]["data_type"].removeprefix("TYPE_").lower()
            array = np.array(rows, dtype).reshape(len(rows), -1)
            tensors.append(triton.Tensor(self.outputs[name]["name"], array))
        return triton.InferenceResponse(tensors)


def source() -> str:
    """The text of ``model.py``."""
    module = inspect.getsource(ids)
    imports, body = _divided(module)
    return f"{_HEAD}{imports}\n{_IMPORTS}\n{body}\n\n\n{inspect.getsource(TritonPythonModel)}"


def _divided(text: str) -> tuple[str, str]:
    """The imports of a module, and what follows them."""
    nodes = list(_imports(text))
    lines = text.splitlines()
    own = [ast.unparse(node) for node in nodes if getattr(node, "module", "") != "__future__"]
    end = nodes[-1].end_lineno
    return "\n".join(own), "\n".join(lines[end:]).strip()


def _imports(text: str) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in parsed(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
