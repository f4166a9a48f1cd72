"""The equivalence run as a product: every kind of recurrent layer, every setting, every mask, every form.

`cases` says what is run, `run` runs and judges it, `report` shows it, `mutate` plants mistakes to see
whether the run would notice.
"""

from biport.app.matrix.cases import MASKS, Selection, models
from biport.app.matrix.mutate import plant_mistakes
from biport.app.matrix.run import run_matrix

__all__ = ["MASKS", "Selection", "models", "plant_mistakes", "run_matrix"]
