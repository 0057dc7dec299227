"""Small kernels to edit, and a way to build and run what comes of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fitness.native import compile_command

RUNNER = Path(__file__).with_name("runner.py")

CONV = r"""
extern "C" void conv(const float* x, const float* weight, const float* bias, float* out,
                     long long batch) {
    constexpr int IN = 4;
    constexpr int OUT = 24;
    constexpr int LENGTH = 40;
    constexpr int TAPS = 3;
    constexpr int PAD = 1;
    #pragma omp parallel for
    for (long long b = 0; b < batch; ++b) {
        for (int o = 0; o < OUT; ++o) {
            for (int l = 0; l < LENGTH; ++l) {
                float sum = bias[o];
                for (int i = 0; i < IN; ++i) {
                    for (int k = 0; k < TAPS; ++k) {
                        const int at = l + k - PAD;
                        if (at >= 0 && at < LENGTH) {
                            sum += x[(b * IN + i) * LENGTH + at] * weight[(o * IN + i) * TAPS + k];
                        }
                    }
                }
                out[(b * OUT + o) * LENGTH + l] = sum;
            }
        }
    }
}
"""

NORM = r"""
#include <cmath>

extern "C" void norm(const float* x, const float* dy, const float* weight, float* dx,
                     float* dweight, long long rows, long long columns, float eps) {
    for (long long c = 0; c < columns; ++c) {
        dweight[c] = 0.0f;
    }
    #pragma omp parallel for
    for (long long r = 0; r < rows; ++r) {
        float squares = 0.0f;
        for (long long c = 0; c < columns; ++c) {
            squares += x[r * columns + c] * x[r * columns + c];
        }
        const float scale = 1.0f / std::sqrt(squares / columns + eps);
        float dot = 0.0f;
        for (long long c = 0; c < columns; ++c) {
            dot += dy[r * columns + c] * weight[c] * (x[r * columns + c] * scale);
        }
        for (long long c = 0; c < columns; ++c) {
            const float unit = x[r * columns + c] * scale;
            dx[r * columns + c] = scale * (dy[r * columns + c] * weight[c] - unit * dot / columns);
            #pragma omp atomic
            dweight[c] += dy[r * columns + c] * unit;
        }
    }
}
"""

MATMUL = r"""
extern "C" void matmul(const float* a, const float* b, float* c, int n, int m, int depth) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < m; j++) {
            c[i * m + j] = 0;
            for (int k = 0; k < depth; k++)
                c[i * m + j] += a[i * depth + k] * b[j * depth + k];
        }
    }
}
"""

# Two passes over a picture, the second reading what the first wrote; an image of fixed size.
SMOOTH = r"""
#define H 20
#define W 36

static inline float half(float v) { return v / 2; }

extern "C" void smooth(const float* in, float* tmp, float* out, float gain) {
    for (int y = 0; y < H; ++y) {
        for (int x = 0; x < W; ++x) {
            float s = 0.0f;
            for (int d = 0; d < 3; ++d) {
                if (x + d - 1 >= 0 && x + d - 1 < W) {
                    s += in[y * W + x + d - 1] * gain;
                }
            }
            tmp[y * W + x] = s;
        }
    }
    for (int y = 0; y < H; ++y) {
        for (int x = 0; x < W; ++x) {
            const float scaled = tmp[y * W + x] / gain;
            out[y * W + x] = scaled + in[y * W + x];
        }
    }
}
"""

# Every iteration needs the one before: nothing here may be reordered.
SCAN = r"""
extern "C" void scan(float* a, int n) {
    for (int i = 1; i < n; ++i) {
        a[i] += a[i - 1];
    }
}
"""

SOURCES = {"conv": CONV, "norm": NORM, "matmul": MATMUL, "smooth": SMOOTH, "scan": SCAN}


def module(cpp: str) -> str:
    """A candidate around a C++ text."""
    head = "from fitness.native import load_cpp\n\n"
    return f'{head}SOURCE = r"""{cpp}"""\nkernels = load_cpp(SOURCE)\n'


def cpp_of(text: str) -> str:
    """The C++ text of such a candidate."""
    return text.split('"""')[1]


def faults(folder: Path, name: str, texts: Sequence[str]) -> list[str]:
    """Build every text and run it beside the definition; what is wrong with each, "" if nothing.

    Runs in a process of its own, with two threads.
    """
    libraries, found = [], []
    for number, text in enumerate(texts):
        place = folder / f"{name}{number}"
        place.mkdir()
        (place / "kernel.cpp").write_text(text)
        done = subprocess.run(
            compile_command(text),
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        found.append(done.stderr[:2000] if done.returncode else "")
        libraries.append("" if done.returncode else str(place / "kernel.so"))
    run = subprocess.run(
        [sys.executable, str(RUNNER), name, *libraries],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"OMP_NUM_THREADS": "2"},
    )
    results = [json.loads(line) for line in run.stdout.splitlines()]
    results += [f"ended with {run.returncode}: {run.stderr[-500:]}"] * (len(texts) - len(results))
    return [built or ran for built, ran in zip(found, results, strict=True)]
