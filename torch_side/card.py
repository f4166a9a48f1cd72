"""The model card of a folder: ``README.md`` with what the Hugging Face hub reads in front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from biport.compare.report import Report
from biport.graph import Graph, frozen, owners, unported
from biport.ops import Penalty
from torch_side.writing.describe import masks_of, origin_of, plain
from torch_side.writing.ported import Ported
from torch_side.writing.source import Weights

_CARD = """---
license: unknown
library_name: pytorch
tags:
- biport
- pytorch
{tags}---

# {name}

A model{origin} as plain PyTorch: `model.py` is the module, `model.{weights}` its `state_dict`.

```python
import sys

sys.path.insert(0, "{name}")  # this folder
from model import load

model = load()  # an nn.Module in eval mode
```

Needed: torch alone. `load_state_dict` takes the weights as they are, and the module behaves as any other:
`model.train()`, `model.to("cuda")`, `torch.save(model.state_dict(), ...)`.

## Inputs

{inputs}

{texts}## Outputs

{outputs}

{masks}{training}## Proof

{proof}

{check}

## Facts

{facts}
"""


LONGEST_NOTE = 300

_CHECKED = """`python model.py --check` runs `check.npz` on your machine, with torch alone: seeded
inputs{patterns}, the outputs of biport's reference in float64, and how far off float32 may be."""
_PATTERNS = " with every pattern of mask that the model meets"
_UNCHECKED = (
    "Inputs of this model are too large to travel with it: `python model.py --check` has nothing to run."
)


def model_card(
    graph: Graph,
    module: Ported,
    name: str,
    weights: Weights,
    notes: Sequence[str],
    report: Report | None,
    *,
    checks: bool,
) -> str:
    """The text of ``README.md``.

    Args:
        graph: the model.
        module: as which it was written.
        name: of the folder.
        weights: how its weights are stored.
        notes: what its user should know.
        report: how it was tried; ``None`` where it was not.
        checks: whether inputs and outputs travel with it.
    """
    masks = list(masks_of(graph))
    trained, fixed = (
        sum(one.numel() for one in module.parameters() if one.requires_grad is trained)
        for trained in (True, False)
    )
    state = module.state_dict().values()
    dtypes = ", ".join(sorted({str(one.dtype).removeprefix("torch.") for one in state}))
    framework = plain(graph.origin.get("framework", "")).lower()
    facts = [
        f"{trained:,} parameters are trained" + (f", {fixed:,} are fixed" if fixed else ""),
        f"weights in {dtypes or 'no dtype'}",
        "the license of the model that it was made of is not known to biport: say it in the first lines",
        *(plain(note, LONGEST_NOTE) for note in notes),
    ]
    recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
    tags = [*([framework] if framework == "keras" else []), *(["recurrent"] if recurrent else [])]
    return _CARD.format(
        tags="".join(f"- {tag}\n" for tag in tags),
        name=plain(name),
        origin=f" of {origin_of(graph)}" if origin_of(graph) else "",
        weights=weights,
        inputs=_listed(f"`{plain(value.name)}`: {value.tensor}" for value in graph.inputs),
        texts=_texts(graph),
        outputs=_listed(f"`{plain(output)}`: {graph.tensors[output]}" for output in graph.outputs),
        masks=f"## Masks\n\n{_listed(masks)}\n\n" if masks else "",
        training=_training(graph, module),
        proof="It was not tried when it was written." if report is None else _proof(report),
        check=(_CHECKED if checks else _UNCHECKED).format(patterns=_PATTERNS if masks else ""),
        facts=_listed(facts),
    )


def _texts(graph: Graph) -> str:
    """How ids are made of texts, and texts of what it gives, where the model itself says it."""
    return _ids(graph) + _spelled(graph)


def _spelled(graph: Graph) -> str:
    if graph.alphabet is None:
        return ""
    batch, shape = graph.inputs[0].shape[0], graph.tensors[graph.outputs[0]].shape
    given = "model(x)" if len(graph.outputs) == 1 else "model(x)[0]"
    given += "" if shape[0] == batch else ".transpose(0, 1)"
    summary = plain(graph.alphabet.summary, LONGEST_NOTE)
    return f"Texts: `decode({given})` of `model.py` reads them greedily, by `alphabet.json`: {summary}.\n\n"


def _ids(graph: Graph) -> str:
    if not graph.tokenizers:
        return ""
    lines = [
        f"`{plain(name)}`, of `{plain(tokenizer.source)}`: {plain(tokenizer.summary, LONGEST_NOTE)}"
        for name, tokenizer in graph.tokenizers.items()
    ]
    head = "Ids of texts: `encode(texts)` of `model.py` gives them, by `tokenizers.json`."
    return f"{head}\n\n{_listed(lines)}\n\n"


def _training(graph: Graph, module: Ported) -> str:
    """What training on needs to know: the terms of the loss, what is fixed, what did not come along."""
    terms = [f"`{plain(one.path)}`: {_term(one.penalty)}" for one in module.meta["penalties"]]
    fixed = sorted(frozen(graph))
    lost = [plain(line, LONGEST_NOTE) for line in (*unported(graph), *_of_outputs(graph))]
    sections = [
        ("Regularisers are terms of the loss: add `model.penalty()`, which sums up", terms),
        (
            "Not trained (`requires_grad=False`, `trainable=False` in Keras):",
            [f"`{plain(p)}`" for p in fixed],
        ),
        ("Of the source's training this did not come along:", lost),
    ]
    text = "".join(f"{head}\n\n{_listed(items)}\n\n" for head, items in sections if items)
    return f"## Training on\n\n{text}" if text else ""


def _of_outputs(graph: Graph) -> Iterator[str]:
    """What Keras adds to the loss for the outputs of layers, which modules of torch do not keep."""
    for name, op in owners(graph).items():
        for path, learning in op.all_learning().items():
            if learning.activity is not None:
                layer = f"{name}.{path}" if path else name
                yield f"{layer}: activity_regularizer, {_term(learning.activity)} of its output"


def _term(penalty: Penalty) -> str:
    parts = (penalty.l1, "Σ\\|w\\|"), (penalty.l2, "Σw²")
    return " + ".join(f"{factor:g} {term}" for factor, term in parts if factor)


def _listed(items: Sequence[str] | object) -> str:
    return "\n".join(f"- {item}" for item in items)  # type: ignore[attr-defined]


def _proof(report: Report) -> str:
    """How the folder was tried: what was compared, with what, and the figures."""
    own = report.lines[-1].form
    rows = [
        f"| `{plain(line.output)}` | {line.verdict} | {line.error.maximum:.1e} | {line.allowed:.1e} |"
        for line in report.lines
        if line.form == own
    ]
    cases = f"{len(report.cases)} seeded batches ({', '.join(report.cases)})"
    return "\n".join(
        [
            f"Before it was kept, `model.py` was loaded and run in float32 on {cases},",
            "and compared with biport's reference, which computes in float64 the graph that was read:",
            "",
            "| output | verdict | largest error | allowed |",
            "|---|---|---|---|",
            *rows,
            "",
            "An error is the largest difference, over the largest number of the output or 1.",
        ]
    )
