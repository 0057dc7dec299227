"""Runs built kernels beside their definitions in numpy: `runner.py NAME LIBRARY...`.

Prints one JSON string per library: what is wrong, or "". An empty library name is passed over.
"""

import ctypes
import json
import sys

import numpy as np


def conv(library, rng):
    x, weight = rng.random((5, 4, 40)) - 0.5, rng.random((24, 4, 3)) - 0.5
    bias = rng.random(24)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    wanted = bias[:, None] + sum(
        np.einsum("bil,oi->bol", padded[:, :, k : k + 40], weight[:, :, k]) for k in range(3)
    )
    out = call(library.conv, [x, weight, bias], [wanted.shape], [ctypes.c_longlong(5)])
    return [(out[0], wanted)]


def conv1d(library, rng):
    x, weight = rng.random((5, 96, 200)) * 0.1, rng.random((96, 96, 3)) * 0.1 - 0.05
    bias = rng.random(96)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    wanted = bias[:, None] + sum(weight[:, :, k] @ padded[:, :, k : k + 200] for k in range(3))
    out = call(library.conv1d, [x, weight, bias], [wanted.shape], [ctypes.c_longlong(5)])
    return [(out[0], wanted)]


def norm(library, rng):
    found = []
    for rows, columns in ((7, 130), (3, 64)):
        x, dy = rng.random((rows, columns)) - 0.5, rng.random((rows, columns)) - 0.5
        weight = rng.random(columns)
        scale = 1 / np.sqrt((x * x).mean(1, keepdims=True) + 1e-3)
        unit, dunit = x * scale, dy * weight
        dx = scale * (dunit - unit * (dunit * unit).mean(1, keepdims=True))
        sizes = [ctypes.c_longlong(rows), ctypes.c_longlong(columns), ctypes.c_float(1e-3)]
        out = call(library.norm, [x, dy, weight], [x.shape, weight.shape], sizes)
        found += [(out[0], dx), (out[1], (dy * unit).sum(0))]
    return found


def matmul(library, rng):
    a, b = rng.random((19, 70)) - 0.5, rng.random((33, 70)) - 0.5
    out = call(library.matmul, [a, b], [(19, 33)], [ctypes.c_int(v) for v in (19, 33, 70)])
    return [(out[0], a @ b.T)]


def smooth(library, rng):
    x = rng.random((20, 36))
    padded = np.pad(x, ((0, 0), (1, 1)))
    tmp = 3.0 * (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:])
    out = call(library.smooth, [x], [x.shape, x.shape], [ctypes.c_float(3.0)])
    return [(out[0], tmp), (out[1], tmp / 3.0 + x)]


def scan(library, rng):
    a = (rng.random(50) - 0.5).astype(np.float32)
    wanted = np.cumsum(a.astype(np.float64))
    library.scan(a.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(50))
    return [(a, wanted)]


def call(function, inputs, shapes, sizes):
    arrays = [np.ascontiguousarray(a, dtype=np.float32) for a in inputs]
    outputs = [np.full(shape, np.nan, dtype=np.float32) for shape in shapes]
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays, *outputs)]
    function(*pointers, *sizes)
    return outputs


def fault(name, path):
    if not path:
        return ""
    library = ctypes.CDLL(path)
    for out, wanted in globals()[name](library, np.random.default_rng(0)):
        error = np.abs(out - wanted).max()
        if not error < 2e-5 * max(1.0, np.abs(wanted).max()):
            return f"differs by {error}"
    return ""


if __name__ == "__main__":
    for library_path in sys.argv[2:]:
        print(json.dumps(fault(sys.argv[1], library_path)), flush=True)
