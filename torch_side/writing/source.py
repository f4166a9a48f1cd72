"""A written module as the source of a file that needs torch alone: ``model.py``."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

import torch
from torch import fx, nn

from biport.analysis.lengths import Least
from biport.graph import Graph, body_of
from biport.ops import Scan
from biport.syntax import parsed
from torch_side import recipient
from torch_side.layers import Recurrence
from torch_side.names import Names, inputs_of, outputs_of, statements_of
from torch_side.writing.code import (
    INDENT,
    Code,
    call,
    literal,
    mapping,
    quoted,
    sequence,
    signature,
    statement,
)
from torch_side.writing.constructors import constructor
from torch_side.writing.definitions import Definitions, import_lines, stacked
from torch_side.writing.describe import cell_docstring, class_docstring, module_docstring, plain
from torch_side.writing.expressions import is_own
from torch_side.writing.forward import BODY, Facts, Forward, Submodule
from torch_side.writing.partition import Partition
from torch_side.writing.ported import Ported

MODEL = "Model"
Weights = Literal["safetensors", "pt"]
"""As what the weights beside a ``model.py`` are stored."""

_IMPORTS = (
    "import sys",
    "import torch",
    "from pathlib import Path",
    "from torch import nn",
    "from torch import Tensor",
    "from torch.nn import functional",
)
_READ: Mapping[Weights, str] = {
    "safetensors": 'read_tensors(Path(folder) / "model.safetensors")',
    "pt": 'torch.load(Path(folder) / "model.pt", "cpu", weights_only=True)',
}
_LOAD = '''def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The model with the weights of a folder, in eval mode."""
    with torch.device("meta"), Undrawn():
        model = Model()
    model.load_state_dict({read}, assign=True)
    return model.eval()'''
_MAIN = """if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        sys.exit("usage: python model.py --check")
    sys.exit(check(load(), Path(__file__).with_name("check.npz")))"""
_COPIED = ("torch_side.", "biport.text.ids")
"""Where what a file has of its own is copied from; all else is imported."""
_HELPERS = "# What torch.nn does not have."
_CHECK = "# What follows is for `python model.py --check` alone."
ALWAYS = frozenset({"torch", "nn", "functional", "Tensor", "self"})


@dataclass(frozen=True)
class Class:
    """A class in the file: its text, and what it is called."""

    name: str
    lines: Sequence[str]


def model_source(graph: Graph, module: Ported, weights: Weights = "safetensors") -> str:
    """The source of ``model.py``.

    Args:
        graph: the model.
        module: what `torch_side.write` makes of it.
        weights: how its weights are stored.
    """
    return _File(graph, module, weights).text()


@dataclass
class _File:
    graph: Graph
    module: Ported
    weights: Weights
    definitions: Definitions = field(default_factory=lambda: Definitions(_COPIED))
    classes: list[Class] = field(default_factory=list)
    cells: dict[nn.Module, str] = field(default_factory=dict)
    """What the classes of cells are called."""
    known: dict[tuple[str, ...], str] = field(default_factory=dict)
    """By its lines, what a class is called: layers that are alike have one."""

    def __post_init__(self) -> None:
        for part in self.module.modules():
            if is_own(type(part)):
                self.definitions.add(type(part).__module__, [type(part).__name__])
        for part in self.module.modules():
            if isinstance(part, fx.GraphModule):
                for node in part.graph.nodes:
                    if node.op == "call_function" and is_own(node.target):
                        self.definitions.add(node.target.__module__, [node.target.__name__])
        if any(_fixes_second_bias(part) for part in self.module.modules()):
            self.definitions.add(recipient.__name__, ["fix_second_bias"])
        self.definitions.add(recipient.__name__, ["Undrawn"])
        if self.weights == "safetensors":
            self.definitions.add(recipient.__name__, ["read_tensors"])
        if self.graph.tokenizers:
            self.definitions.add(recipient.__name__, ["encode"])
        if self.graph.alphabet is not None:
            self.definitions.add(recipient.__name__, ["decode"])
        self.checks = Definitions(_COPIED)
        self.checks.add(recipient.__name__, ["check"])
        own = {"load", "check", *self.definitions.sources, *self.checks.sources}
        self.names = Names({*ALWAYS, *own, *self._imported()})
        self.model = self.names.new_class(MODEL)

    def _imported(self) -> set[str]:
        statements = {*_IMPORTS, *self.definitions.imports, *self.checks.imports}
        return {statement.rpartition(" ")[2].partition(".")[0] for statement in statements}

    def text(self) -> str:
        """All of it."""
        dtype = _float_dtype(self.module)
        self._add_cells(self.graph, self.module, dtype)
        self._add_model(self.graph, self.module, self.model, dtype)
        helpers = self.definitions.sources.values()
        # What a reader came for stands first; what it is made of is looked up when it is run.
        classes = ["\n".join(one.lines) for one in reversed(self.classes)]
        load = _LOAD.replace("Model", self.model).format(read=_READ[self.weights])
        checks = self.checks.sources.values()
        body = stacked([*classes, load, *_section(_HELPERS, helpers), *_section(_CHECK, checks), _MAIN])
        used = {node.id for node in ast.walk(parsed(body)) if isinstance(node, ast.Name)}
        statements = {*self.definitions.imports, *self.checks.imports, *_IMPORTS}
        needed = [one for one in statements if one.rpartition(" ")[2].partition(".")[0] in used]
        docstring = module_docstring(self.graph, self.model)
        return "\n".join([*docstring, *import_lines(needed), body, ""])

    def _add_cells(self, graph: Graph, module: Ported, dtype: torch.dtype) -> None:
        """The classes of what recurrences of any cell step with; those that are alike have one."""
        for node in graph.nodes:
            if not isinstance(node.op, Scan):
                continue
            layer, body = module.get_submodule(module.paths[node.name]), body_of(node.op)
            assert isinstance(layer, Recurrence)
            assert isinstance(layer.cell, Ported)
            if layer.cell not in self.cells:
                self._add_cells(body, layer.cell, dtype)
                wanted, count = f"{node.name}_cell", node.op.state_count
                self.cells[layer.cell] = self._add_model(body, layer.cell, wanted, dtype, count)

    def _add_model(
        self, graph: Graph, module: Ported, name: str, dtype: torch.dtype, state_count: int | None = None
    ) -> str:
        """The class of a written module, or of a cell of some states, behind those of the modules in it.

        Args:
            graph: what the module computes.
            module: it.
            name: of the class; of a cell's what it should be called like.
            dtype: of the file.
            state_count: how many states a cell has.

        Returns:
            What the class is called.
        """
        facts = Facts.of(graph, module)
        arguments, nodes = inputs_of(module.graph), statements_of(module.graph)
        outputs = [node for node in outputs_of(module.graph) if isinstance(node, fx.Node)]
        flat: frozenset[str] = frozenset()
        while True:
            partition = Partition(facts, nodes, outputs, flat)
            names, known = copy.deepcopy(self.names), dict(self.known)
            printer = _Printer(self, facts, dtype, names, module.needs_steps, known, state_count)
            top = Submodule("", "", partition.units, arguments, outputs)
            try:
                name = printer.model(top, name)
            except _Different as different:
                flat |= {different.path}
                continue
            self.classes += printer.done
            self.names, self.known = printer.free, printer.known
            return name


class Form(Enum):
    """How a module without a ``forward`` is written."""

    CLASS = "class"
    LIST = "list"
    DICT = "dict"


class _Different(Exception):  # noqa: N818  (not an error: its statements stay where they are called)
    """Two calls of one module do different things."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass
class _Printer:
    """What prints the classes of one written module."""

    file: _File
    facts: Facts
    dtype: torch.dtype
    free: Names
    """For classes."""
    steps: Mapping[str, Least]
    """How many an input must have."""
    known: dict[tuple[str, ...], str]
    """By its lines, what a class is called: layers that are alike have one."""
    state_count: int | None = None
    """Of a cell."""
    names: dict[str, str] = field(default_factory=dict)
    """The class of each path below the module that has one."""
    done: list[Class] = field(default_factory=list)
    """Each behind those that it is made of."""
    _called: set[str] = field(default_factory=set)
    """The paths of modules with a ``forward``."""

    def model(self, top: Submodule, name: str) -> str:
        """Print the class of the whole module, behind those of what is in it; what it is called."""
        self._called = set(_paths(top))
        lines = self._body([top])
        if self.state_count is not None:
            return self._class_of(lines, name)
        self.done.append(Class(name, [f"class {name}(nn.Module):", *lines]))
        return name

    def _body(self, calls: Sequence[Submodule]) -> list[str]:
        """What stands in the class of a module that is called so."""
        path = calls[0].path
        inner: dict[str, list[Submodule]] = {}
        for unit in calls[0].body:
            if isinstance(unit, Submodule):
                inner.setdefault(unit.path, []).append(unit)
        for inner_path, submodules in inner.items():
            self._add_class(inner_path, self._body(submodules))
        init = self._init(self.facts.root.get_submodule(path), path)
        arguments, forward = self._forward(calls)
        if path:
            docstring = _submodule_docstring(self.facts, calls[0])
        elif self.state_count is not None:
            docstring = cell_docstring(self.facts.graph, self.state_count)
        else:
            docstring = class_docstring(self.facts.graph, arguments, self.steps)
        penalty = [] if path or self.state_count is not None else self._penalty()
        return [*docstring, "", *init, "", *forward, *penalty]

    def _add_class(self, path: str, lines: Sequence[str]) -> str:
        """The name of the class of a path, which has these lines."""
        *parents, last = path.split(".")
        # An element of ``blocks`` is a block.
        wanted = parents[-1].removesuffix("s") if last.isdecimal() and parents else last
        self.names[path] = self._class_of(lines, wanted)
        return self.names[path]

    def _class_of(self, lines: Sequence[str], wanted: str) -> str:
        """What the class of these lines is called."""
        if tuple(lines) not in self.known:
            name = self.known[tuple(lines)] = self.free.new_class(wanted)
            self.done.append(Class(name, [f"class {name}(nn.Module):", *lines]))
        return self.known[tuple(lines)]

    # The modules in it.

    def _init(self, container: nn.Module, path: str) -> list[str]:
        """The lines of ``__init__``."""
        annotations: list[str] = []
        lines: list[str] = []
        behind: list[str] = []
        for name, parameter in container.named_parameters(recurse=False):
            code = call("torch.zeros", [sequence([literal(size) for size in parameter.shape], "()")])
            code = call("nn.Parameter", [self._typed(code, parameter)], _frozen(parameter))
            lines += _assigned(name, code, "register_parameter")
        for name, buffer in container.named_buffers(recurse=False):
            annotations += [f"{INDENT}{name}: Tensor"] if name.isidentifier() else []
            code = call("torch.zeros", [sequence([literal(size) for size in buffer.shape], "()")])
            arguments = [Code(quoted(name)), self._typed(code, buffer)]
            lines += statement(call("self.register_buffer", arguments), BODY)
        for name, child in container.named_children():
            child_path = f"{path}.{name}" if path else name
            lines += _assigned(name, self._creation(child, child_path), "add_module")
            behind += self._afterwards(child, child_path, path)
        if not path and self.state_count is None and self.dtype is not torch.float32:
            behind.append(f"{BODY}self.to({self.dtype})")
        head = [f"{INDENT}def __init__(self) -> None:", f"{BODY}super().__init__()"]
        return [*annotations, *([""] if annotations else []), *head, *lines, *behind]

    def _typed(self, code: Code, tensor: torch.Tensor) -> Code:
        """``torch.zeros((3, 4))`` of the dtype of a tensor."""
        if tensor.dtype in (torch.float32, self.dtype):
            return code
        return call("torch.zeros", code.items, [("dtype", literal(tensor.dtype))])

    def _creation(self, child: nn.Module, path: str) -> Code:
        """What makes a module: its constructor, its class, or a container of torch."""
        if path in self.names:
            return Code(f"{self.names[path]}()")
        if type(child) is not nn.Module:
            return self._of_dtype(constructor(child, self.file.cells), child)
        if (form := self._form(path)) is not Form.CLASS:
            codes = {name: self._creation(part, f"{path}.{name}") for name, part in child.named_children()}
            if form is Form.LIST:
                return call("nn.ModuleList", [sequence(list(codes.values()))])
            return call("nn.ModuleDict", [mapping(codes.items())])
        docstring = [f'{INDENT}"""What is called ``{plain(path)}`` in the model it was made of."""']
        return Code(f"{self._add_class(path, [*docstring, '', *self._init(child, path)])}()")

    def _form(self, path: str) -> Form:
        """As what a module without a ``forward`` is written."""
        container = self.facts.root.get_submodule(path)
        children = dict(container.named_children())
        if type(container) is not nn.Module or path in self._called:
            return Form.CLASS
        inner = [name for name, part in children.items() if type(part) is nn.Module]
        if not all(f"{path}.{name}" in self._called for name in inner):
            # What is in what is in a list has no type that is known.
            return Form.CLASS
        if [*container.parameters(recurse=False), *container.buffers(recurse=False)]:
            return Form.CLASS
        if [*children] == [str(number) for number in range(len(children))]:
            return Form.LIST
        return Form.CLASS if any(hasattr(nn.ModuleDict, name) for name in children) else Form.DICT

    def _of_dtype(self, code: Code, module: nn.Module) -> Code:
        """A module of another dtype than the model's."""
        own = _float_dtype(module, self.dtype)
        return code if own is self.dtype else call(f"{code.text}.to", [literal(own)])

    def _afterwards(self, child: nn.Module, child_path: str, path: str) -> list[str]:
        """What is changed of a layer when it is made: parameters it has not, and those that stay."""
        if child_path in self.names:
            return []
        lines: list[str] = []
        below = [own for own in self.names if own.startswith(f"{child_path}.")]
        below += [own for own, part in child.named_modules(prefix=child_path) if part in self.file.cells]
        for part_path, part in child.named_modules(prefix=child_path):
            if any(f"{part_path}.".startswith(f"{own}.") for own in below):
                continue
            lines += self._changed(part, self.attribute(part_path, path).text)
        return lines

    def _changed(self, part: nn.Module, text: str) -> list[str]:
        codes = [
            call(f"{text}.register_parameter", [Code(quoted(name)), Code("None")])
            for name in _taken_away(part)
        ]
        parameters = dict(part.named_parameters(recurse=False))
        fixed = [name for name, parameter in parameters.items() if not parameter.requires_grad]
        if _fixes_second_bias(part):
            codes.append(call("fix_second_bias", [Code(text)]))
        elif fixed and len(fixed) == len(parameters):
            codes.append(call(f"{text}.requires_grad_", [Code("False")]))
        else:
            codes += [call(f"{text}.{name}.requires_grad_", [Code("False")]) for name in fixed]
        return [line for code in codes for line in statement(code, BODY)]

    def attribute(self, path: str, own: str) -> Code:
        """How a path is written in the module at ``own``."""
        text, at = "self", own
        for part in (path.removeprefix(f"{own}.") if own else path).split("."):
            form = Form.CLASS if at == own else self._form(at)
            if form is Form.LIST:
                text += f"[{part}]"
            elif form is Form.DICT:
                text += f"[{quoted(part)}]"
            else:
                text = f"{text}.{part}" if part.isidentifier() else f"getattr({text}, {quoted(part)})"
            at = f"{at}.{part}" if at else part
        return Code(text)

    def _penalty(self) -> list[str]:
        """The method that says what weights add to the loss, where they do."""
        penalties = self.file.module.meta["penalties"]
        if not penalties:
            return []
        lines = ["", f"{INDENT}def penalty(self) -> Tensor:"]
        lines += [
            f'{BODY}"""What is added to the loss for the sizes of weights."""',
            f"{BODY}total = torch.zeros(())",
        ]
        for one in penalties:
            lines += statement(self.attribute(one.path, ""), BODY, "weight = ")
            terms = (one.penalty.l1, "weight.abs().sum()"), (one.penalty.l2, "weight.square().sum()")
            lines += [
                f"{BODY}total = total + {literal(factor).text} * {term}" for factor, term in terms if factor
            ]
        return [*lines, f"{BODY}return total"]

    # Its forward.

    def _forward(self, calls: Sequence[Submodule]) -> tuple[Sequence[str], list[str]]:
        """The names of its arguments, and its lines."""
        printed = []
        arguments: Sequence[str] | None = None
        is_cell = self.state_count is not None and not calls[0].path
        for one in calls:
            reserved = {"states", "constants"} if is_cell else set[str]()
            names = Names({*ALWAYS, *self.file.definitions.sources, *reserved})
            forward = Forward(
                self.facts,
                one.body,
                one.inputs,
                one.outputs,
                names,
                lambda path: self.attribute(path, calls[0].path),
                one.group,
                arguments,
                is_cell,
            )
            arguments = forward.argument_names
            printed.append(forward.lines())
            if is_cell:
                return arguments, self._cell_forward(forward, printed[0])
        first = printed[0]
        if any(_without_comments(lines) != _without_comments(first) for lines in printed[1:]):
            raise _Different(calls[0].path)
        count = len(calls[0].outputs)
        result = "Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]"
        assert arguments is not None
        head = signature("forward", [f"{name}: Tensor" for name in arguments], result, INDENT)
        return arguments, [*head, *first]

    def _cell_forward(self, forward: Forward, lines: Sequence[str]) -> list[str]:
        """The lines of the ``forward`` of a cell, which takes its states and constants in lists."""
        assert self.state_count is not None
        (x, *_), (_, *names) = forward.argument_names, forward.unpacked_names
        arguments, taken = [f"{x}: Tensor"], list[str]()
        for whole, own in (
            ("states", names[: self.state_count]),
            ("constants", names[self.state_count :]),
        ):
            if not own:
                continue
            arguments.append(f"{whole}: list[Tensor]")
            if set(own) != {"_"}:
                targets = ", ".join(own) if len(own) > 1 else f"({own[0]},)"
                taken.append(f"{BODY}{targets} = {whole}")
        head = signature("forward", arguments, "tuple[Tensor, list[Tensor]]", INDENT)
        return [*head, *taken, *lines]


def _section(heading: str, sources: Iterable[str]) -> list[str]:
    """Definitions under a comment."""
    first, *rest = [*sources] or [""]
    return [f"{heading}\n\n\n{first}", *rest] if first else []


def _without_comments(lines: Iterable[str]) -> list[str]:
    return [
        text for line in lines if (text := line.partition("  # ")[0].rstrip()) and text.lstrip()[0] != "#"
    ]


def _paths(submodule: Submodule) -> Iterator[str]:
    """The paths of the modules with a ``forward`` in a module."""
    for unit in submodule.body:
        if isinstance(unit, Submodule):
            yield unit.path
            yield from _paths(unit)


def _assigned(name: str, code: Code, method: str) -> list[str]:
    if name.isidentifier():
        return statement(code, BODY, f"self.{name} = ")
    return statement(call(f"self.{method}", [Code(quoted(name)), code]), BODY)


def _fixes_second_bias(part: nn.Module) -> bool:
    """Whether what does not learn of a layer is its second bias."""
    fixed = [name for name, one in part.named_parameters(recurse=False) if not one.requires_grad]
    return isinstance(part, nn.RNNBase) and bool(fixed) and all(name.startswith("bias_hh") for name in fixed)


def _frozen(parameter: nn.Parameter) -> list[tuple[str, Code]]:
    return [] if parameter.requires_grad else [("requires_grad", Code("False"))]


def _taken_away(part: nn.Module) -> list[str]:
    """The parameters that torch has no setting to do without."""
    match part:
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d() | nn.GroupNorm():
            missing = [name for name in ("weight", "bias") if part._parameters.get(name) is None]
            return missing if len(missing) == 1 or is_own(type(part)) else []
        case nn.LayerNorm():
            return ["weight"] if part._parameters.get("weight") is None and part.bias is not None else []
    return []


def _float_dtype(module: nn.Module, default: torch.dtype = torch.float32) -> torch.dtype:
    """The dtype of a module's floats; the first one's where there are several."""
    tensors = [*module.parameters(), *module.buffers()]
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), default)


def _submodule_docstring(facts: Facts, one: Submodule) -> list[str]:
    given = ", ".join(filter(None, map(facts.comment, one.inputs)))
    result = ", ".join(filter(None, map(facts.comment, one.outputs)))
    return [f'{INDENT}"""{given} to {result}."""']
