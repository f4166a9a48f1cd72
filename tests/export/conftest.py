"""The tests of this folder use the frameworks."""

import testing.frameworks  # noqa: F401  # isort: skip

from importlib.util import find_spec

# Not among the oldest versions.
collect_ignore = [] if find_spec("pyarrow") else ["test_export_parquet.py", "test_export_ray.py"]
