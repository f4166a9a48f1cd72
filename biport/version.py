"""The version, of the package and in the files it writes."""

__version__ = "0.1.0"
