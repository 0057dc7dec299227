"""The ceilings of this machine's processor, by a small C++ kernel.

Every thread measures on memory of its own, in passes of tens of microseconds, and keeps its best
pass; the threads' bests are added up. A neighbour that takes a processor away spoils the passes
that it falls into and not the result.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitness.ceilings import Ceilings, Level, processor_name

if TYPE_CHECKING:
    import torch

    from fitness.spec import EvaluationSpec

# What is taken for the caches where the kernel does not say.
_COMMON_BYTES = {1: 32 << 10, 2: 512 << 10, 3: 32 << 20}
# Main memory is measured in so many times the last cache, within bounds.
_MEMORY_FACTOR = 4
_MEMORY_BYTES = (64 << 20, 512 << 20)
# Seconds per kind of access and level.
_TRIAL_S = 0.012
_MATMUL = 512
_MATMUL_TRIALS = 6
_SOURCE = r"""
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <omp.h>

typedef long long words __attribute__((vector_size(64)));
typedef float floats __attribute__((vector_size(64)));
typedef double doubles __attribute__((vector_size(64)));

static double now() {
    using namespace std::chrono;
    return duration<double>(steady_clock::now().time_since_epoch()).count();
}

static void read_all(const words* p, long long n) {
    words a = {}, b = {}, c = {}, d = {};
    for (long long i = 0; i + 4 <= n; i += 4) {
        a ^= p[i]; b ^= p[i + 1]; c ^= p[i + 2]; d ^= p[i + 3];
    }
    a ^= b ^ c ^ d;
    asm volatile("" : : "m"(a) : "memory");
}

static void copy_half(words* p, long long n) {
    long long half = n / 2;
    if (half * 64 > 1 << 20) {
        memcpy(p + half, p, half * 64);
    } else {
        for (long long i = 0; i < half; i++) p[half + i] = p[i];
    }
    asm volatile("" : : : "memory");
}

static void fill(words* p, long long n) {
    memset(p, 1, n * 64);
    asm volatile("" : : : "memory");
}

// rates[thread * 3 + kind]: best bytes per second of reading, copying, filling.
extern "C" void bandwidth(double* rates, long long bytes, double trial_s, long long threads) {
#pragma omp parallel num_threads(threads)
    {
        int me = omp_get_thread_num();
        long long n = bytes / 64 / 4 * 4;
        words* p = (words*)aligned_alloc(4096, (n * 64 + 4095) / 4096 * 4096);
        memset(p, 1, n * 64);
        long long repeats = 1 + (256 << 10) / (n * 64);
        for (int kind = 0; kind < 3; kind++) {
            double best = 0;
#pragma omp barrier
            double end = now() + trial_s;
            for (int pass = 0; pass < 3 || now() < end; pass++) {
                double start = now();
                for (long long r = 0; r < repeats; r++) {
                    if (kind == 0) read_all(p, n);
                    else if (kind == 1) copy_half(p, n);
                    else fill(p, n);
                }
                double rate = n * 64.0 * repeats / (now() - start);
                if (rate > best) best = rate;
            }
            rates[me * 3 + kind] = best;
        }
        free(p);
    }
}

template <class V, class T> static double multiply_add(double trial_s) {
    const int chains = 12, steps = 2000, lanes = 64 / sizeof(T);
    V sum[chains];
    for (int k = 0; k < chains; k++)
        for (int i = 0; i < lanes; i++) sum[k][i] = T(k + i) / 64;
    V factor, addend;
    for (int i = 0; i < lanes; i++) { factor[i] = T(0.999); addend[i] = T(0.001); }
    double best = 0, end = now() + trial_s;
    for (int pass = 0; pass < 3 || now() < end; pass++) {
        double start = now();
        for (int s = 0; s < steps; s++) {
#pragma GCC unroll 12
            for (int k = 0; k < chains; k++) sum[k] = sum[k] * factor + addend;
        }
        double rate = 2.0 * chains * lanes * steps / (now() - start);
        if (rate > best) best = rate;
    }
    for (int k = 0; k < chains; k++) asm volatile("" : : "m"(sum[k]) : "memory");
    return best;
}

// rates[thread * 2]: float32, then float64, operations per second.
extern "C" void arithmetic(double* rates, double trial_s, long long threads) {
#pragma omp parallel num_threads(threads)
    {
        int me = omp_get_thread_num();
        rates[me * 2] = multiply_add<floats, float>(trial_s);
        rates[me * 2 + 1] = multiply_add<doubles, double>(trial_s);
    }
}
"""


def measure(spec: EvaluationSpec) -> Ceilings:
    """Measure with one thread and with the spec's number of them. Raises CppError without g++."""
    import torch

    from fitness.native import load_cpp

    kernels = load_cpp(_SOURCE)
    cores = len(os.sched_getaffinity(0))
    threads = min(spec.threads, cores)
    counts = sorted({1, threads})
    sizes = _caches()
    levels = []
    for number, (name, capacity) in enumerate(sizes):
        rate = max(_bandwidth(kernels, _working_set(sizes, number, n), n) for n in counts)
        # A private cache is there once per thread.
        levels.append(Level(name, capacity * (threads if number < 2 else 1), rate))
    sums = [torch.zeros(2 * n, dtype=torch.float64) for n in counts]
    for found, n in zip(sums, counts, strict=True):
        kernels.arithmetic(found, _TRIAL_S, n)
    wide = [found.view(-1, 2).sum(0) for found in sums]
    flops = {
        "float32": max(float(w[0]) for w in wide),
        "float64": max(float(w[1]) for w in wide),
    }
    # Products have units of their own on some processors; float16 has none worth measuring.
    for name in ("float32", "bfloat16"):
        flops[name] = max(flops.get(name, 0.0), _matmul(getattr(torch, name)))
    return Ceilings(processor_name(), tuple(levels), flops)


def _bandwidth(kernels: Any, bytes_per_thread: int, threads: int) -> float:
    import torch

    rates = torch.zeros(3 * threads, dtype=torch.float64)
    kernels.bandwidth(rates, bytes_per_thread, _TRIAL_S, threads)
    return float(rates.view(threads, 3).sum(0).max())


def _caches() -> list[tuple[str, float]]:
    """(name, bytes) of the data caches, per thread for the first two; main memory last."""
    found = dict(_COMMON_BYTES)
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        with suppress(OSError, ValueError):
            text = {n: (index / n).read_text(encoding="ascii").strip() for n in ("type", "level")}
            if text["type"] in ("Data", "Unified"):
                size = (index / "size").read_text(encoding="ascii").strip()
                found[int(text["level"])] = int(size.removesuffix("K")) << 10
    levels = [(f"L{level}", float(found[level])) for level in sorted(found)]
    return [*levels, ("memory", math.inf)]


def _working_set(sizes: list[tuple[str, float]], number: int, threads: int) -> int:
    """Bytes per thread that lie in a level: half of it, or several times the last cache."""
    name, capacity = sizes[number]
    if name == "memory":
        smallest, largest = _MEMORY_BYTES
        return int(min(max(_MEMORY_FACTOR * sizes[-2][1], smallest), largest)) // threads
    if number < 2:
        return int(capacity) // 2
    # Neighbours have their part of a cache that is shared: a small part of it is the fastest.
    return min(int(capacity) // 2 // threads, int(sizes[number - 1][1]) * 4)


def _matmul(dtype: torch.dtype) -> float:
    """Operations per second of torch's own product at best; 0 where it does not have it."""
    import torch

    left = torch.ones(_MATMUL, _MATMUL, dtype=dtype)
    best_s = math.inf
    with suppress(RuntimeError):
        for _ in range(_MATMUL_TRIALS):
            start = time.perf_counter()
            torch.mm(left, left)
            best_s = min(best_s, time.perf_counter() - start)
    return 2.0 * _MATMUL**3 / best_s
