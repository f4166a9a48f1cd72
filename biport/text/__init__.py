"""How texts become ids where a model's own layers say it."""

from biport.text.tokenizer import Tokenizer

__all__ = ["Tokenizer"]
