"""What kind of computation a problem file describes, by the functions and modules it uses."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

_SIGNS: dict[str, frozenset[str]] = {
    "convolution": frozenset(
        {"conv1d", "conv2d", "conv3d", "convtranspose1d", "convtranspose2d", "convtranspose3d"}
        | {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
    ),
    "product": frozenset(
        {"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "linear", "bilinear", "mv", "dot"}
        | {"tensordot"}
    ),
    "attention": frozenset({"scaled_dot_product_attention", "multiheadattention"}),
    "softmax": frozenset({"softmax", "log_softmax", "logsoftmax", "logsumexp", "cross_entropy"}),
    "normalisation": frozenset(
        {"layer_norm", "layernorm", "rms_norm", "rmsnorm", "batch_norm", "batchnorm1d"}
        | {"batchnorm2d", "group_norm", "groupnorm", "instance_norm", "normalize", "rsqrt"}
    ),
    "reduction": frozenset(
        {"sum", "mean", "amax", "amin", "prod", "var", "std", "norm", "argmax", "argmin"}
    ),
    "scan": frozenset({"cumsum", "cumprod", "cummax", "cummin"}),
    "pooling": frozenset({"max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "unfold"}),
    "gather": frozenset(
        {"gather", "scatter", "scatter_add", "index_select", "index_add", "embedding", "take"}
        | {"embeddingbag", "embedding_bag", "scatter_add_", "index_add_", "take_along_dim"}
    ),
    "search": frozenset({"searchsorted", "bucketize", "isin", "unique", "sort", "topk", "argsort"}),
    "recurrence": frozenset({"lstm", "gru", "rnn", "lstmcell", "grucell"}),
}


def operations_of(problem: str) -> tuple[str, ...]:
    """The kinds of computation in a problem file's text, in a fixed order.

    "elementwise" when nothing else is seen; empty for text that is no Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(problem)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ()
    used = set(_names(tree))
    found = tuple(kind for kind, signs in _SIGNS.items() if signs & used)
    return found or ("elementwise",)


def _names(tree: ast.AST) -> Iterator[str]:
    """Names of what is called, lower case; "@" counts as a product."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute):
                yield called.attr.lower()
            elif isinstance(called, ast.Name):
                yield called.id.lower()
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield "matmul"
