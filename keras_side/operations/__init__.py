"""Operations between layers, ``a + b`` or ``keras.ops.sum(x)``: each read as the ops that compute the same.

One file a family, as in `biport.ops`. A reader gets a call as it was recorded and answers with terms
(`keras_side.operations.terms`); whoever reads the model gives them names and puts them into the graph.
"""
