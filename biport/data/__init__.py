"""Text and labels to try models on: a vocabulary, and film and product reviews made on the spot."""

from biport.data.reviews import Reviews, load_synthetic, split, synthetic_reviews
from biport.data.vocabulary import Vocabulary, tokenize

__all__ = ["Reviews", "Vocabulary", "load_synthetic", "split", "synthetic_reviews", "tokenize"]
