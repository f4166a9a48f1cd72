"""How texts become ids: `Tokenizer`, and `read_tokenizer` for the files that others keep theirs in."""

from biport.text.read_file import read_tokenizer
from biport.text.tokenizer import Tokenizer

__all__ = ["Tokenizer", "read_tokenizer"]
