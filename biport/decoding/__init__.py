"""Writing sequences with a trained sequence-to-sequence model, one token at a time.

    model = split(graph)                   # an encoder and a decoder of a single step, two graphs
    stepper = torch_side.stepper(module)   # or keras_side.stepper, export.stepper, reference_stepper
    greedy(stepper, sources, start=2, end=3)
    beam(stepper, sources, start=2, end=3, width=4)

Each framework runs the two graphs; the search is here, once, in numpy.
"""

from biport.decoding.agreement import Agreement, agreement
from biport.decoding.beam import beam
from biport.decoding.greedy import greedy
from biport.decoding.hypothesis import Hypothesis
from biport.decoding.stepper import Stepper, reference_stepper
from biport.decoding.texts import Translation, Translator
from biport.rewrite.encoder_decoder import EncoderDecoder, split

__all__ = [
    "Agreement",
    "EncoderDecoder",
    "Hypothesis",
    "Stepper",
    "Translation",
    "Translator",
    "agreement",
    "beam",
    "greedy",
    "reference_stepper",
    "split",
]
