"""One file an op: ``write_<op>(op, site) -> flows``."""
