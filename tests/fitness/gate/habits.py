"""Honest kernels by habits of their authors: what stands around a kernel, not the kernel itself.

Locks and caches around compiled code, attributes set plainly, imports that may fail, a search for
the best launch parameters, streams that are waited for.
"""

# ruff: noqa: E501 - sources as people write them

from tests.fitness.gate.honest import _ADD, _CPP, _HEAD, _LAUNCH, _TRITON, cpp, cuda

_SOURCE = """
SOURCE = r\"\"\"
extern "C" void run(const float* x, float* out, long long n) {
    for (long long i = 0; i < n; ++i) out[i] = 2 * x[i];
}
\"\"\"
"""
_MODEL = """
class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        kernels.run(x, out, x.numel())
        return out
"""


def before(text, lines):
    """A model with lines of a class before its forward."""
    shown = "\n".join(f"    {line}" for line in lines.splitlines())
    return text.replace("    def forward", f"{shown}\n    def forward")


def first(text, lines):
    """A model whose forward begins with these lines."""
    shown = "\n".join(f"        {line}" for line in lines.splitlines())
    return text.replace("        out =", f"{shown}\n        out =")


# These pass where library calls, torch's arithmetic and state are refused, too.
STRICT = {
    "a library compiled once, by lru_cache": _CPP
    + _SOURCE
    + "import functools\n@functools.lru_cache(maxsize=None)\ndef library():\n    return load_cpp(SOURCE)\n"
    + _MODEL.replace("kernels.run", "library().run"),
    "libraries kept by their parameters": _CPP
    + _SOURCE
    + "from functools import lru_cache\n@lru_cache\ndef library(tile):\n"
    + "    return load_cpp(SOURCE.replace('2 *', f'{tile} *'))\n"
    + _MODEL.replace("kernels.run", "library(2).run"),
    "a library compiled at the first call": _CPP
    + _SOURCE
    + "_library = None\ndef library():\n    global _library\n    if _library is None:\n"
    + "        _library = load_cpp(SOURCE)\n    return _library\n"
    + _MODEL.replace("kernels.run", "library().run"),
    "a library compiled by forward": _CPP
    + _SOURCE
    + first(
        before(_MODEL, "def __init__(self):\n    super().__init__()\n    self.kernels = None"),
        "if self.kernels is None:\n    self.kernels = load_cpp(SOURCE)",
    ).replace(" kernels.run", " self.kernels.run"),
    "a lock around a cache of plans": _TRITON
    + "import threading\n_LOCK = threading.Lock()\n_LOCAL = threading.local()\n"
    + _ADD
    + first(_LAUNCH, "with _LOCK:\n    me = threading.get_ident()"),
    "a lock by its name": _TRITON
    + "from threading import Lock, RLock\nLOCK = Lock()\n"
    + _ADD
    + _LAUNCH,
    "processors counted": _TRITON
    + "import multiprocessing\nfrom multiprocessing import cpu_count\n"
    + "N = multiprocessing.cpu_count() + cpu_count()\n"
    + _ADD
    + _LAUNCH,
    "plain attributes": _TRITON
    + _ADD
    + "def grid(meta):\n    return (1,)\ngrid.block = 256\ngrid.__name__ = 'blocks'\nadd.block = 256\n"
    + before(
        _LAUNCH,
        "def __init__(self, **options):\n    super().__init__()\n    self.block = 256\n"
        "    self.weight = nn.Parameter(torch.ones(4))\n    self.weight.requires_grad = False\n"
        "    self.linear = nn.Linear(4, 4)\n    self.linear.weight.data = torch.ones(4, 4)\n"
        "    self.linear.bias = None\n    self.__dict__['extra'] = 1\n"
        "    self.__dict__.update(options)\n    object.__setattr__(self, 'other', 2)\n"
        "    for p in self.parameters():\n        p.requires_grad_(False)\n        p.grad = None\n"
        "    for m in self.modules():\n        m.training = False",
    )
    + "ModelNew.block = 128\nModelNew.forward.__doc__ = 'adds'\nsetattr(ModelNew, 'title', 'add')\n",
    "attributes of a configuration": _TRITON
    + "CONFIG = triton.Config({'BLOCK': 128}, num_warps=4)\nCONFIG.num_stages = 3\n"
    + "CONFIG.kwargs['BLOCK'] = 64\nCONFIG.pre_hook = None\n"
    + _ADD
    + _LAUNCH,
    "a frozen dataclass": _TRITON
    + "import dataclasses\nfrom dataclasses import dataclass, field\n"
    + "@dataclass(frozen=True, slots=True)\nclass Plan:\n    block: int = 256\n"
    + "    extra: dict = field(default_factory=dict)\n    def __post_init__(self):\n"
    + "        object.__setattr__(self, 'block', triton.next_power_of_2(self.block))\n"
    + "    @classmethod\n    def of(cls, n):\n        return dataclasses.replace(cls(), block=min(n, 256))\n"
    + _ADD
    + _LAUNCH.replace("BLOCK=256", "BLOCK=Plan.of(n).block"),
    "tuples with names": _TRITON
    + "from collections import namedtuple\nfrom typing import NamedTuple\n"
    + "class Plan(NamedTuple):\n    block: int = 256\n"
    + "Pair = namedtuple('Pair', ['a', 'b'])\nPLAN = Plan()._replace(block=128)\n"
    + _ADD
    + _LAUNCH.replace("BLOCK=256", "BLOCK=PLAN.block"),
    "kernels in a register": _TRITON
    + "KERNELS = {}\ndef register(name):\n    def decorator(kernel):\n        KERNELS[name] = kernel\n"
    + "        return kernel\n    return decorator\n@register('add')"
    + _ADD
    + _LAUNCH.replace("add[", "KERNELS['add']["),
    "imports that may fail": _HEAD
    + "try:\n    import triton\n    import triton.language as tl\n    HAS = True\nexcept ImportError:\n"
    + "    triton = tl = None\n    HAS = False\n"
    + "try:\n    from triton.language.extra import libdevice\nexcept Exception:\n    try:\n"
    + "        from triton.language.extra.cuda import libdevice\n    except ModuleNotFoundError:\n"
    + "        libdevice = None\n"
    + _ADD
    + _LAUNCH,
    "autotuned with hooks and pruning": _TRITON
    + "def clear(args):\n    args['out'].zero_()\n"
    + "def prune(configs, named, **rest):\n    return [c for c in configs if c.kwargs['BLOCK'] <= 128]\n"
    + "CONFIGS = [triton.Config({'BLOCK': b}, num_warps=w, pre_hook=clear) for b in (64, 128) for w in (2, 4)]\n"
    + "@triton.autotune(configs=CONFIGS, key=['n'], reset_to_zero=['out'], prune_configs_by={'early_config_prune': prune})"
    + _ADD
    + _LAUNCH.replace(", BLOCK=256", ""),
    "the best block found by measuring": _TRITON
    + "import time\n"
    + _ADD
    + before(
        _LAUNCH,
        "def tuned(self, a, b, out, n):\n    times = {}\n    for block in (64, 128):\n"
        "        run = lambda: add[(triton.cdiv(n, block),)](a, b, out, n, BLOCK=block)\n"
        "        times[block] = triton.testing.do_bench(run, warmup=5, rep=20)\n"
        "        start = time.perf_counter()\n        run()\n        torch.cuda.synchronize()\n"
        "        times[block] += time.perf_counter() - start\n    return min(times, key=times.get)",
    ),
    "a stream that is waited for": _TRITON
    + _ADD
    + first(
        before(
            _LAUNCH,
            "def __init__(self):\n    super().__init__()\n    self.side = torch.cuda.Stream(priority=-1)\n"
            "    self.done = torch.cuda.Event()",
        ),
        "self.side.wait_stream(torch.cuda.current_stream())\nwith torch.cuda.stream(self.side):\n"
        "    b = b.to(a.dtype)\n    self.done.record(self.side)\n"
        "torch.cuda.current_stream().wait_event(self.done)\n"
        "b.record_stream(torch.cuda.current_stream())",
    ),
    "decorators of its own": _TRITON
    + "import functools\ndef logged(fn):\n    @functools.wraps(fn)\n    def inner(*args, **kwargs):\n"
    + "        return fn(*args, **kwargs)\n    inner.__wrapped__ = fn\n    return inner\n"
    + "@logged\ndef blocks(a, b):\n    return -(-a // b)\nhalves = functools.partial(blocks, b=2)\n"
    + "functools.update_wrapper(halves, blocks)\n"
    + _ADD
    + _LAUNCH,
    "C++, methods defined outside of their class": cpp("""
struct Tile { void read(const float* p); void write(float* p) const; float last = 0; };
void Tile::read(const float* p) { last = *p; }
void Tile::write(float* p) const { *p = 2 * last; }
extern "C" void run(const float* x, float* out, long long n) {
    Tile tile; Tile* same = &tile;
    for (long long i = 0; i < n; ++i) { tile.read(x + i); same->write(out + i); }
}
"""),
    "C++, guards": cpp("""
#include <mutex>
static std::mutex lock;
static std::once_flag once;
extern "C" void run(const float* x, float* out, long long n) {
    std::call_once(once, [] {});
    std::lock_guard<std::mutex> guard(lock);
    for (long long i = 0; i < n; ++i) out[i] = 2 * x[i];
}
"""),
    "C++, operands by name": cpp("""
extern "C" void run(const float* x, float* out, long long n) {
    for (long long i = 0; i < n; ++i) {
        float w, r = x[i];
        asm("// read one, write one\\n\\tvmovaps %[read], %[write]" : [write] "=x"(w) : [read] "x"(r));
        out[i] = w;
    }
}
"""),
}
HABITS = {
    **STRICT,
    "a pause while another block works": cuda("""
#include <torch/extension.h>
__global__ void wait(int* flag) { while (atomicAdd(flag, 0) == 0) asm volatile("nanosleep.u32 20;"); }
torch::Tensor run(torch::Tensor x) { return x; }
"""),
    "a folder for what is compiled": cuda(
        "torch::Tensor run(torch::Tensor x) { return x; }",
        "import os\nBUILD = os.path.join('/tmp', 'extensions')\nos.makedirs(BUILD, exist_ok=True)\n"
        "os.environ['TORCH_EXTENSIONS_DIR'] = BUILD\n",
    ),
    "an autograd function for mixed precision": _TRITON
    + _ADD
    + "class Add(torch.autograd.Function):\n    @staticmethod\n    @torch.amp.custom_fwd(device_type='cuda')\n"
    + "    def forward(ctx, a, b):\n        ctx.shape = a.shape\n        out = torch.empty_like(a)\n"
    + "        add[(1,)](a, b, out, a.numel(), BLOCK=64)\n        ctx.save_for_backward(a, b)\n"
    + "        return out\n    @staticmethod\n    def backward(ctx, grad):\n"
    + "        a, b = ctx.saved_tensors\n        return grad, grad\n"
    + "class ModelNew(nn.Module):\n    def forward(self, a, b):\n        return Add.apply(a, b)\n",
    "what the machine can do": _HEAD
    + "import os, platform, shutil, sys\nX86 = platform.machine() == 'x86_64'\n"
    + "if sys.platform == 'linux' and sys.version_info >= (3, 8):\n"
    + "    torch.set_num_threads(len(os.sched_getaffinity(0)))\nGXX = shutil.which('g++')\n"
    + "with open('/proc/cpuinfo') as f:\n    WIDE = 'avx512f' in f.read()\n"
    + "FP8 = [getattr(torch, n) for n in ('float8_e4m3fn', 'float8_e5m2') if hasattr(torch, n)]\n"
    + "class ModelNew(nn.Module):\n    def forward(self, x):\n        return x * 2\n",
}
