"""Files for production: smaller numbers, a repository of Triton, the check of an embedded tokeniser."""
