"""The torch side of biport: neutral graphs to `torch.nn.Module` and back.

    module = torch_side.write(graph)       # a readable torch.fx.GraphModule with real parameters
    graph = torch_side.read(module)        # any module made of what is supported
    graph = torch_side.read("model.pt2")   # a program of torch.export.save
    torch_side.load_checkpoint(module, "weights.pt")
    torch_side.write_folder(graph, "ported")  # model.py, its weights, and what proves them
    report = torch_side.load(twin, graph)  # fill an existing module by name
    outputs = torch_side.run(module, [ids])
    loss, by_weight = torch_side.gradients(module, [ids], [cotangent])

`torch_side.layers` has the layers torch lacks, `torch_side.models` models a person would write.
"""

from torch_side.bidirect import bidirect
from torch_side.decode import stepper
from torch_side.folder import is_folder, load_folder, read_folder, write_folder
from torch_side.gradients import Differentiable, gradients, gradients_allowed
from torch_side.inference import double
from torch_side.load import load
from torch_side.mapped import reads_class
from torch_side.read import read
from torch_side.reading.checkpoints import load_checkpoint
from torch_side.reading.exported import open_program
from torch_side.reading.mapped_module import MappedModule
from torch_side.reading.source import argument_names, default_example
from torch_side.run import run
from torch_side.stream import stream
from torch_side.trace import trace
from torch_side.write import write
from torch_side.writing.ported import Ported

__all__ = [
    "Differentiable",
    "MappedModule",
    "Ported",
    "argument_names",
    "bidirect",
    "default_example",
    "double",
    "gradients",
    "gradients_allowed",
    "is_folder",
    "load",
    "load_checkpoint",
    "load_folder",
    "open_program",
    "read",
    "read_folder",
    "reads_class",
    "run",
    "stepper",
    "stream",
    "trace",
    "write",
    "write_folder",
]
