"""The writers, a file for each family of ops: ``write_<op>(op, site) -> values``."""
