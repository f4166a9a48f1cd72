"""Models fed chunk by chunk: what one call left in the states, the next one goes on from.

plan = plan_stream(graph)                  # which inputs are states, and that chunks change nothing
stream = Stream(plan, run)                 # of any framework; reference_stream(graph) is the oracle
outputs = stream.feed([chunk])             # export.Session.stream, torch_side.stream, keras_side.stream
"""

from biport.streaming.plan import Streaming, plan_stream
from biport.streaming.stream import Stream, reference_stream

__all__ = ["Stream", "Streaming", "plan_stream", "reference_stream"]
