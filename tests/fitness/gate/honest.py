"""Honest kernels in many styles: the gate refuses none of them.

Each is what somebody might write who only wants a fast kernel, with what a careless rule would
trip over: words in comments, odd names, caches of constants, fallbacks, templates, macros.
"""

# ruff: noqa: E501 - sources as people write them

_HEAD = "import torch\nfrom torch import nn\n"
_TRITON = _HEAD + "import triton\nimport triton.language as tl\n"
_CPP = _HEAD + "from fitness.native import load_cpp\n"
_ADD = """
@triton.jit
def add(a, b, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    tl.store(out + at, tl.load(a + at, mask) + tl.load(b + at, mask), mask)
"""
_LAUNCH = """
class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty_like(a)
        n = a.numel()
        add[(triton.cdiv(n, 256),)](a, b, out, n, BLOCK=256)
        return out
"""
_RUN = """
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        kernels.run(x, out, x.numel())
        return out
"""
_INLINE = """
from torch.utils.cpp_extension import load_inline

module = load_inline(
    name="run", cpp_sources=CPP, cuda_sources=CUDA, functions=["run"],
    extra_cuda_cflags=["-O3", "--use_fast_math", "-ffast-math"], verbose=False,
)


class ModelNew(nn.Module):
    def forward(self, x):
        return module.run(x)
"""


def cpp(text):
    return f'{_CPP}\nSOURCE = r"""{text}"""\n{_RUN}'


def cuda(text, more=""):
    host = "torch::Tensor run(torch::Tensor x);"
    return f'{_HEAD}\nCUDA = r"""{text}"""\nCPP = "{host}"\n{more}{_INLINE}'


HONEST = {
    "triton": _TRITON + _ADD + _LAUNCH,
    "triton, aliases": _TRITON.replace("triton.language as tl", "triton.language as lang")
    + "tl = lang\njit = triton.jit\n"
    + _ADD.replace("@triton.jit", "@jit")
    + _LAUNCH,
    "triton, autotune": _TRITON
    + "@triton.autotune(configs=[triton.Config({'BLOCK': 128}, num_warps=4)], key=['n'])"
    + _ADD
    + _LAUNCH.replace(", BLOCK=256", ""),
    "triton, heuristics": _TRITON
    + "@triton.heuristics({'EVEN': lambda args: args['n'] % 256 == 0})"
    + _ADD.replace("n, BLOCK", "n, EVEN, BLOCK")
    + _LAUNCH,
    "triton, a helper kernel": _TRITON
    + "@triton.jit\ndef twice(v):\n    return v * 2\n"
    + _ADD.replace("tl.load(a + at, mask) +", "twice(tl.load(a + at, mask)) +")
    + _LAUNCH,
    "triton, grid by lambda": _TRITON
    + _ADD
    + _LAUNCH.replace(
        "add[(triton.cdiv(n, 256),)]", "add[lambda meta: (triton.cdiv(n, meta['BLOCK']),)]"
    ),
    "triton, an allocator for descriptors": _TRITON
    + "triton.set_allocator(lambda size, align, stream: torch.empty(size, dtype=torch.int8))"
    + _ADD
    + _LAUNCH,
    "triton, inline assembly": _TRITON
    + _ADD.replace(
        "mask = at < n",
        "mask = at < n\n    at = tl.inline_asm_elementwise('mov.b32 $0, $1;', '=r,r', [at],"
        " dtype=tl.int32, is_pure=True, pack=1)",
    )
    + _LAUNCH,
    "triton, device properties kept": _TRITON
    + "import functools\n\n@functools.lru_cache(maxsize=None)\ndef multiprocessors(index):\n"
    + "    return torch.cuda.get_device_properties(index).multi_processor_count\n"
    + _ADD
    + _LAUNCH,
    "a fallback for other devices": _TRITON
    + _ADD
    + _LAUNCH.replace(
        "        out =", "        if not a.is_cuda:\n            return a + b\n        out ="
    ),
    "try and pass": _HEAD
    + "try:\n    import triton\n    import triton.language as tl\n"
    + "except ImportError:\n    pass\n"
    + _ADD
    + _LAUNCH,
    "words in comments": _TRITON
    + "# os.system, subprocess, exec(), ctypes: none of them is used\n"
    + '"""A module that never calls sys._getframe or torch.cuda.synchronize = f."""\n'
    + _ADD
    + _LAUNCH.replace("n = a.numel()", "n = a.numel() // 1  # eval('x'); import gc"),
    "words in strings": _HEAD
    + 'WHY = "we do not import ctypes; time.sleep(1) and __import__ are refused"\n'
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n"
    + "        assert x.dim() == 2, 'exec: need two dimensions'\n        return torch.relu(x)\n",
    "names like modules": _HEAD
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n        time = x.shape[0]\n"
    + "        os = x.shape[1]\n        signal = x.reshape(time, os)\n"
    + "        signal.grad = None\n        sys = [time]\n        sys.append(os)\n"
    + "        return signal.clone()\n",
    "names of builtins": _HEAD
    + "def compile(a):\n    return a\n\ndef eval(a):\n    return a\n\n"
    + "class ModelNew(nn.Module):\n    def forward(self, input):\n        x = input\n"
    + "        return eval(compile(x)) * 2\n",
    "its own evaluation mode": _HEAD
    + "class ModelNew(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    + "        self.eval()\n        self.net = nn.Linear(4, 4).eval()\n"
    + "    def forward(self, x):\n        return self.net(x)\n",
    "settings": _HEAD
    + "torch.backends.cuda.matmul.allow_tf32 = False\ntorch.backends.cudnn.benchmark = True\n"
    + "torch.set_float32_matmul_precision('highest')\ntorch._inductor.config.max_autotune = True\n"
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n        return x @ x\n",
    "weights packed once": _HEAD
    + "class ModelNew(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    + "        self.weight = nn.Parameter(torch.randn(4, 4))\n        self.packed = None\n"
    + "    def forward(self, x):\n        if self.packed is None:\n"
    + "            self.packed = self.weight.t().contiguous()\n        return x @ self.packed\n",
    "a workspace by size": _TRITON
    + _ADD
    + "_space = {}\n"
    + _LAUNCH.replace(
        "        out =",
        "        key = (a.shape, a.device)\n        if key not in _space:\n"
        "            _space[key] = torch.empty_like(a)\n        out =",
    ),
    "alignment of an address": _TRITON
    + _ADD
    + _LAUNCH.replace(
        "        out =",
        "        assert a.data_ptr() % 16 == 0 and b.data_ptr() & 15 == 0\n        out =",
    ),
    "a CUDA graph": _HEAD
    + "class ModelNew(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    + "        self.graph = None\n    def forward(self, x):\n        if self.graph is None:\n"
    + "            self.graph = torch.cuda.CUDAGraph()\n            self.x = x.clone()\n"
    + "            with torch.cuda.graph(self.graph):\n                self.y = self.x * 2\n"
    + "        self.x.copy_(x)\n        self.graph.replay()\n        return self.y.clone()\n",
    "compiled by torch": _HEAD
    + "@torch.compile\ndef f(x):\n    return x.relu() + 1\n"
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n        return f(x)\n",
    "a custom operator": _HEAD
    + "@torch.library.custom_op('mine::twice', mutates_args=())\n"
    + "def twice(x: torch.Tensor) -> torch.Tensor:\n    return x * 2\n"
    + "@twice.register_fake\ndef _(x):\n    return torch.empty_like(x)\n"
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n"
    + "        return torch.ops.mine.twice(x)\n",
    "an autograd function": _TRITON
    + _ADD
    + "class Add(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, a, b):\n"
    + "        out = torch.empty_like(a)\n        add[(1,)](a, b, out, a.numel(), BLOCK=64)\n"
    + "        ctx.save_for_backward(a)\n        ctx.size = 1\n        return out\n"
    + "class ModelNew(nn.Module):\n    def forward(self, a, b):\n        return Add.apply(a, b)\n",
    "two streams": _HEAD
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n"
    + "        side = torch.cuda.Stream()\n        side.wait_stream(torch.cuda.current_stream())\n"
    + "        with torch.cuda.stream(side):\n            y = x * 2\n"
    + "        torch.cuda.current_stream().wait_stream(side)\n        return y\n",
    "attributes set in a loop": _HEAD
    + "class ModelNew(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    + "        for i in range(3):\n"
    + "            setattr(self, f'layer{i}', nn.Parameter(torch.ones(3)))\n"
    + "    def forward(self, x):\n"
    + "        return x + sum(getattr(self, f'layer{i}') for i in range(3))\n",
    "a dtype by its name": _HEAD
    + "DTYPE = 'float16'\nclass ModelNew(nn.Module):\n    def forward(self, x):\n"
    + "        return x.to(getattr(torch, DTYPE)).to(x.dtype)\n",
    "dataclasses and typing": _HEAD
    + "import dataclasses, enum, math, itertools, collections, functools, typing, operator, re\n"
    + "import contextlib, warnings, os, sys, time, inspect, copy, random, logging, pathlib\n"
    + "warnings.filterwarnings('ignore')\nprint(os.path.basename('a/b'), os.cpu_count())\n"
    + "total = functools.reduce(operator.mul, [1, 2, 3])\n"
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n        return x * total\n",
    "the environment of the compiler": _HEAD
    + "import os\nos.environ['TORCH_CUDA_ARCH_LIST'] = '9.0'\nos.environ.setdefault('CXX', 'g++')\n"
    + "os.environ['TORCH_EXTENSIONS_DIR'] = '/tmp/torch_extensions'\n"
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n        return x.clone()\n",
    "a test beside it": _TRITON
    + _ADD
    + _LAUNCH
    + "\nif __name__ == '__main__':\n    import subprocess, threading, time\n"
    + "    subprocess.run(['nvidia-smi'])\n    time.sleep(1)\n    open('/tmp/log', 'w').write('')\n"
    + "    start = time.perf_counter()\n    raise SystemExit(0)\n",
    "templates of code": _HEAD
    + "TEMPLATE = 'def scale_{n}(x):\\n    return x * {n}\\n'\nspace = {}\n"
    + "for n in range(3):\n    exec(TEMPLATE.format(n=n), space)\n"
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n        return space['scale_2'](x)\n",
    "C++, tables and helpers": cpp("""
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#include <immintrin.h>
// calls system() and fork() nowhere; "//" and '/*' are only written here
static const float TABLE[3] = {0.5f, 1.0f, 2.0f};
static constexpr int TILE = 64;  // tune: 32, 64, 128
namespace { inline float scaled(float v) { return v * TABLE[1]; } }
template <typename T> static inline T clamp(T v, T low, T high) { return v < low ? low : v > high ? high : v; }
extern "C" void run(const float* __restrict x, float* __restrict out, long long n) {
    #pragma omp parallel for schedule(static)
    for (long long i = 0; i < n; i += TILE)
        for (long long j = i; j < std::min<long long>(i + TILE, n); ++j) out[j] = scaled(x[j]);
}
"""),
    "C++, a lookup table made once": cpp("""
#include <cmath>
static float table[256];
static bool ready = [] { for (int i = 0; i < 256; ++i) table[i] = std::exp(i); return true; }();
extern "C" void run(const float* x, float* out, long long n) {
    thread_local float scratch[1024];
    for (long long i = 0; i < n; ++i) out[i] = x[i] + table[i % 256] * 0 + scratch[0] * 0;
}
"""),
    "C++, names of the system": cpp("""
struct Reader { const float* p; float read(long long i) const { return p[i]; } };
static void write(float* out, long long i, float v) { out[i] = v; }
extern "C" void run(const float* x, float* out, long long n) {
    Reader reader{x};
    bool open = true, signal = false; int fork = 2, pipe[2] = {0, 1};
    auto send = [&](long long i) { write(out, i, reader.read(i)); };
    for (long long i = 0; i < n && open && !signal; ++i) send(i + fork * pipe[0]);
}
"""),
    "C++, assembly and intrinsics": cpp("""
#include <immintrin.h>
#include <omp.h>
#define UNROLL(n) _Pragma("GCC unroll 8") for (int u = 0; u < (n); ++u)
#define NAME(kind, bits) kind##_##bits
static inline __m256 NAME(twice, 256)(__m256 v) { return _mm256_add_ps(v, v); }
extern "C" void run(const float* x, float* out, long long n) {
    asm volatile("" ::: "memory");
    __asm__ __volatile__("prefetcht0 %0" : : "m"(x[0]));
    #pragma omp parallel num_threads(omp_get_max_threads())
    for (long long i = omp_get_thread_num(); i < n; i += omp_get_num_threads()) out[i] = x[i];
}
"""),
    "C++, flags and failures": cpp("""// flags: -mprefer-vector-width=512 -fassociative-math
#include <cstdio>
#include <cstdlib>
#include <new>
#define CHECK(c) do { if (!(c)) { std::fprintf(stderr, "failed: %s\\n", #c); std::abort(); } } while (0)
extern "C" void run(const float* x, float* out, long long n) {
    float* copy = static_cast<float*>(std::aligned_alloc(64, n * sizeof(float) + 64));
    CHECK(copy != nullptr);
    try { for (long long i = 0; i < n; ++i) copy[i] = x[i]; } catch (...) { }
    for (long long i = 0; i < n; ++i) out[i] = copy[i];
    std::free(copy);
}
"""),
    "C++, digraphs and odd literals": cpp("""
%:define HALF 0.5f
extern "C" void run(const float* x, float* out, long long n) <%
    const char quote = '"'; const long long big = 1'000'000; const char* raw = R"x(" system( )x";
    for (long long i = 0; i < n; ++i) out<:i:> = x<:i:> * HALF + 0 * (quote + big + raw[0]);
%>
"""),
    "CUDA": cuda("""
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>
#include <cuda_runtime.h>
#define CUDA_CHECK(x) do { cudaError_t e = (x); if (e != cudaSuccess) { fprintf(stderr, "%s", cudaGetErrorString(e)); exit(EXIT_FAILURE); } } while (0)
__constant__ float weights[16];
__device__ __forceinline__ float warp_sum(float v) {
    for (int k = 16; k > 0; k >>= 1) v += __shfl_down_sync(0xffffffff, v, k);
    return v;
}
template <int BLOCK> __global__ void __launch_bounds__(BLOCK) scale(const float* x, float* out, int n) {
    extern __shared__ float tile[];
    __shared__ float part[32];
    int thread = threadIdx.x, i = blockIdx.x * BLOCK + thread;
    if (i < n) out[i] = warp_sum(x[i]) + 0 * part[0] + 0 * tile[0];
}
torch::Tensor run(torch::Tensor x) {
    TORCH_CHECK(x.is_contiguous(), "system: must be contiguous");
    auto out = torch::empty_like(x);
    auto stream = at::cuda::getCurrentCUDAStream();
    scale<256><<<(x.numel() + 255) / 256, 256, 1024, stream>>>(x.data_ptr<float>(), out.data_ptr<float>(), x.numel());
    CUDA_CHECK(cudaGetLastError());
    return out.clone();
}
"""),
    "CUDA, tensor cores": cuda("""
#include <torch/extension.h>
#include <mma.h>
#include <cuda_pipeline.h>
#include <cub/cub.cuh>
using namespace nvcuda;
__global__ void product(const half* a, const half* b, float* c) {
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> acc;
    auto pipe = cuda::make_pipeline();
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\\n" :: "r"(0), "l"(a));
    asm volatile("{ .reg .pred p; bar.sync 0; @p exit; }");
    typedef cub::BlockReduce<float, 128> Reduce;
    __nanosleep(32);
    pipe.producer_commit();
}
torch::Tensor run(torch::Tensor x) { return torch::zeros({1}, x.options().dtype(torch::kFloat32)); }
"""),
    "CUDA, pybind": cuda(
        """
#include <torch/extension.h>
#include <pybind11/pybind11.h>
namespace py = pybind11;
torch::Tensor run(torch::Tensor x) { py::gil_scoped_release no_gil; return at::matmul(x, x); }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run, py::arg("x")); }
"""
    ),
    "CUDA, a template by replacing": cuda(
        """
#include <torch/extension.h>
#define BLOCK @BLOCK@
__global__ void k(float* p) { p[threadIdx.x % BLOCK] = @SCALE@; }
torch::Tensor run(torch::Tensor x) { k<<<1, BLOCK>>>(x.data_ptr<float>()); return x; }
""",
        "SCALE = 2.0\nCUDA = CUDA.replace('@BLOCK@', str(64)).replace('@SCALE@', f'{SCALE}f')\n",
    ),
    "library and own work": _TRITON
    + _ADD
    + _LAUNCH.replace("return out", "return torch.nn.functional.linear(out, b) @ a"),
    "numpy in the constructor": _HEAD
    + "import numpy as np\nclass ModelNew(nn.Module):\n    def __init__(self, n=4):\n"
    + "        super().__init__()\n        self.n = int(np.prod((2, n)))\n"
    + "        self.register_buffer('w', torch.from_numpy(np.ones(4, dtype=np.float32)))\n"
    + "    def forward(self, x):\n        return x * self.w * float(np.sqrt(self.n))\n",
    "a subclass of a module": _HEAD
    + "class Base(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    + "        self.act = nn.ReLU()\n    def forward(self, x):\n        return self.act(x)\n"
    + "class ModelNew(Base):\n    def forward(self, x):\n        return super().forward(x) * 2\n",
    "walrus, match, async and stars": _HEAD
    + "class ModelNew(nn.Module):\n    def forward(self, *xs, **rest):\n"
    + "        first, *others = xs\n        match first.dim():\n            case 1 | 2:\n"
    + "                y = first\n            case n if n > 2:\n                y = first.flatten()\n"
    + "            case _:\n                y = first\n        if (m := y.numel()) > 3:\n"
    + "            y = y[:m]\n        return y, *others\n",
}
