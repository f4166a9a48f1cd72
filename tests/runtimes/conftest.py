"""The tests of this folder write files with one onnxruntime and run them with others."""

import testing.frameworks  # noqa: F401
