"""One set of builders: graphs, masks, models and examples for all tests."""
