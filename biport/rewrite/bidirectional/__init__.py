"""Models with LSTM, GRU or SimpleRNN layers made bidirectional, what follows them widened to suit.

converted = bidirect(graph)                     # every recurrent layer, directions side by side
print(converted)                                # parameters before and after, like a model's summary
keras_side.write(converted.graph)
"""

from biport.rewrite.bidirectional.convert import INITS, MERGES, Conversion, bidirect

__all__ = ["INITS", "MERGES", "Conversion", "bidirect"]
