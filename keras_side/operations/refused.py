"""The functions of ``keras.ops`` that no graph computes, and what to use in place of some."""

from __future__ import annotations

from collections.abc import Mapping

from biport.errors import UnsupportedError
from biport.registry import snake_case
from keras_side.operations.registry import OPERATIONS

REFUSED: Mapping[str, tuple[str, ...]] = {
    "bits, and integers that graphs do not have": (
        *("bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or"),
        *("bitwise_right_shift", "bitwise_xor", "gcd", "lcm", "left_shift", "right_shift", "view"),
    ),
    "complex numbers and spectra": (
        *("angle", "fft", "fft2", "ifft2", "imag", "irfft", "isreal", "istft", "polar", "rfft", "stft"),
        *("view_as_complex", "view_as_real"),
    ),
    "control flow: code of the model's author": (
        *("associative_scan", "cond", "custom_gradient", "fori_loop", "jvp", "map", "scan", "switch"),
        *("vectorize", "vectorized_map", "while_loop"),
    ),
    "linear algebra beyond products": (
        *("cholesky", "cholesky_inverse", "corrcoef", "cross", "det", "eig", "eigh", "inv", "kron", "logdet"),
        *("lstsq", "lu_factor", "matrix_rank", "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd"),
        *("trace", "vander"),
    ),
    "losses and measures": (
        *("binary_crossentropy", "categorical_crossentropy", "ctc_decode", "ctc_loss", "in_top_k", "psnr"),
        "sparse_categorical_crossentropy",
    ),
    "numbers that may be missing": (
        *("nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin"),
        *("nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "fmax", "fmin"),
    ),
    "order and counts of values": (
        *("argpartition", "bincount", "digitize", "histogram", "isin", "median", "multi_hot", "nonzero"),
        *("percentile", "quantile", "searchsorted", "unique", "unravel_index"),
    ),
    "parts put into others": (
        *("diag", "diagflat", "diagonal", "scatter", "scatter_update", "segment_max", "segment_min"),
        *("segment_prod", "segment_sum", "select", "slice_update"),
    ),
    "values outside of the model": ("allclose", "convert_to_numpy"),
    "attentions that are no layer's": ("dot_product_attention",),
    "windows and pictures": (
        *("adaptive_average_pool", "adaptive_max_pool", "depth_to_space", "extract_sequences", "fold"),
        *("rot90", "space_to_depth", "unfold"),
    ),
    "functions that no side has": (
        *("cbrt", "cdist", "correlate", "cumprod", "dstack", "empty_like", "erfc", "erfinv", "hypot", "i0"),
        *("ldexp", "logaddexp2", "meshgrid", "nextafter", "rearrange", "saturate_cast", "signbit", "sinc"),
        *("sparsemax", "trapezoid"),
    ),
}
"""By what they are about."""

INSTEAD: Mapping[str, str] = {
    "adaptive_average_pool": "mean over the axes, or average_pool",
    "adaptive_max_pool": "max over the axes, or max_pool",
    "dot_product_attention": "the layers Attention and MultiHeadAttention, or einsum and softmax",
    "dstack": "concatenate",
    "empty_like": "zeros_like",
    "erfc": "1 - erf(x)",
    "hypot": "sqrt(square(a) + square(b))",
    "multi_hot": "one_hot and max over the tokens",
    "rearrange": "reshape and transpose",
    "saturate_cast": "clip and cast",
    "select": "where",
    "trace": "einsum",
}
"""What does the same."""


def supported_functions() -> list[str]:
    """The functions of ``keras.ops`` that are read, by name."""
    return sorted({name for key in OPERATIONS for name in OPERATIONS.lookup(key, key).functions})


def unsupported_operation(owner: str, class_name: str) -> UnsupportedError:
    """Why no operation of this class is read."""
    function = snake_case(class_name)
    instead = INSTEAD.get(function) or supported_functions()
    return UnsupportedError(owner, OPERATIONS.purpose, class_name, instead)
