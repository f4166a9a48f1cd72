"""The same model trained by the same recipe in either framework: their curves lie over each other."""

from biport.training.optimizers import SGD, Adam, RMSprop
from biport.training.recipe import Recipe
from biport.training.recipes import RECIPES, find_recipe
from biport.training.trainer import Batch, Sums, Trainer

__all__ = ["RECIPES", "SGD", "Adam", "Batch", "RMSprop", "Recipe", "Sums", "Trainer", "find_recipe"]
