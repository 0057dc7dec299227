"""Whose work `forward` is, and what it keeps: notes and flags, rejections where not allowed."""

# ruff: noqa: E501 - sources as people write them

import pytest

from fitness.policy import Level, Policy, examine, of, rejections
from fitness.spec import EvaluationSpec

NO_LIBRARY = Policy(allow_library_calls=False)
NO_TORCH = Policy(allow_torch_compute=False)
NO_STATE = Policy(allow_state=False)
TRITON = """
import torch
from torch import nn
import torch.nn.functional as F
import triton
import triton.language as tl
{top}


@triton.jit
def kernel(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, tl.load(x + at, at < n) * 2.0 + tl.sum(at), at < n)


class ModelNew(nn.Module):
    def __init__(self, size=4, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, size) * 0.02 + 1)
        self.conv = nn.Conv1d(4, 4, 3)
        self.relu = nn.ReLU()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.register_buffer("packed", self.weight.t().contiguous())
        self.eps = eps
        self.out = None
        self.cache = {{}}

    def launch(self, x):
        out = torch.empty_like(x)
        kernel[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
        return out

    def forward(self, x, y, flag: bool = True, scale: float = 1.0):
{body}
"""


def module(body, top=""):
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return TRITON.format(top=top, body=lines)


def rules(source, policy, level=Level.REJECT):
    return {f.rule for f in examine(source, policy) if f.level is level}


@pytest.mark.parametrize(
    "body",
    [
        "return self.launch(x)",
        "x = x.contiguous().view(-1, 4).transpose(0, 1)\nreturn self.launch(x).reshape(y.shape)",
        "n = x.numel() * 2 + y.shape[0] - len(x) // 2\nreturn self.launch(x.to(torch.float16))",
        "b, c = x.shape\nassert b > 0 and x.is_cuda\nreturn self.launch(x)[:b]",
        "out = torch.zeros(x.shape, dtype=x.dtype, device=x.device)\nout.copy_(self.launch(x))\nreturn out",
        "return self.launch(x.half()).float(), self.launch(y.expand(4, 4).unsqueeze(0)).t()",
        "s = x.stride(0) + x.element_size() * 3\nreturn self.launch(x.detach().clone())",
        "scale = scale * 2\nreturn self.launch(x if flag else y)",
        "out = [self.launch(c) for c in x.chunk(2)]\nreturn out[0], out[1]",
        "w = self.weight.data\nreturn self.launch(w.permute(1, 0)), self.packed.shape",
        "if x.data_ptr() % 16:\n    x = x.clone()\nreturn self.launch(x)",
        "outs = []\nouts.append(self.launch(x))\nbest = {}\nbest['a'] = y\nreturn outs[0]",
        "helper = torch.empty(4)\nhelper.count = 1\nreturn self.launch(x)",
    ],
)
def test_layout_and_arithmetic_on_sizes_are_nobody_s_work(body):
    found = examine(module(body), Policy(allow_library_calls=False, allow_torch_compute=False))
    assert not rejections(found)
    assert {f.rule for f in found} <= {"tensor"}
    assert not rejections(examine(module(body), NO_STATE))


LIBRARY = [
    "return torch.mm(x, y)",
    "return x @ y",
    "x @= y\nreturn x",
    "return x.matmul(y)",
    "return torch.matmul(self.launch(x), y)",
    "return F.linear(x, self.weight)",
    "return F.conv1d(x, y)",
    "return F.scaled_dot_product_attention(x, x, x)",
    "return torch.nn.functional.conv2d(x, y)",
    "return torch.einsum('ij,jk', x, y)",
    "return torch.ops.aten.mm.default(x, y)",
    "return torch.linalg.inv(x)",
    "return torch.fft.rfft(x)",
    "return self.conv(x)",
    "return self.conv.forward(x)",
    "return self.net(x)",
    "return getattr(torch, 'm' + 'm')(x, y)",
    "f = torch.bmm\nreturn f(x, y)",
    "return (lambda a: a.addmm(y, y))(x)",
    "return list(map(torch.mm, [x], [y]))[0]",
    "return helper(x)",
    "return Helper(self.weight).run(x)",
    "return torch.addmm(x, x, y, out=torch.empty_like(x))",
    "import numpy as np\nreturn torch.from_numpy(np.dot(x.numpy(), y.numpy()))",
    "import flash_attn\nreturn flash_attn.flash_attn_func(x, x, x)",
    "with torch.no_grad():\n    for i in range(3):\n        x = torch.mm(x, y)\nreturn x",
    "return [torch.mm(a, y) for a in x.unbind()][0]",
    "return Product.apply(x, y)",
    "return super().__call__(x) if False else torch.baddbmm(x, x, x)",
]
TOP = """
def helper(a):
    def inner(b):
        return b.mv(b)
    return inner(a)

class Helper:
    def __init__(self, w):
        self.w = w
    def run(self, a):
        return a @ self.w

class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        return torch.mm(a, b)
"""


@pytest.mark.parametrize("body", LIBRARY)
def test_library_calls(body):
    source = module(body, TOP)
    assert not rejections(examine(source))
    assert "library-call" in rules(source, Policy(), Level.NOTE)
    assert "library-call" in rules(source, NO_LIBRARY)
    for finding in rejections(examine(source, NO_LIBRARY)):
        assert finding.line > 8
        assert "write the kernel" in str(finding)


COMPUTE = [
    "return x + y",
    "x += 1\nreturn x",
    "return -x",
    "return 1 / x",
    "return x > 0",
    "return torch.relu(x)",
    "return x.relu()",
    "return x.add_(y)",
    "return F.softmax(x, -1)",
    "return x.sum()",
    "return torch.cat([x, y])",
    "return self.relu(x)",
    "return self.weight * 2",
    "return self.packed.exp()",
    "return torch.special.erf(x)",
    "return torch.ops.aten.add.Tensor(x, y)",
    "return torch._C._nn.gelu(x)",
    "return torch._foreach_add([x], 1)[0]",
    "getattr(x, 'mul' + '_')(2)\nreturn x",
    "import operator\nreturn operator.methodcaller('relu')(x) if False else x.tanh()",
    "import numpy as np\nreturn torch.from_numpy(np.exp(x.numpy()))",
    "return sum([x, y], x.abs())",
    "f = torch.compile(lambda a: a.cos())\nreturn f(x)",
    "f = torch.compile(mode='max-autotune')(self.relu)\nreturn f(x)",
    "return torch.jit.script(self.relu)(x)",
    "return (x if flag else y).sigmoid()",
    "z = x\nif scale:\n    z = 3\nreturn z * 2",
    "while True:\n    x = x * 2\n    break\nreturn x",
    "return x[y > 0]",
    "return torch.where(x, y, y)",
    "a, *b = x, y\nreturn a.sqrt()",
    "return {'k': x}['k'].log()",
]


@pytest.mark.parametrize("body", COMPUTE)
def test_computing_with_torch(body):
    source = module(body)
    assert not rejections(examine(source))
    assert "torch-compute" in rules(source, Policy(), Level.NOTE)
    assert "torch-compute" in rules(source, NO_TORCH)
    beside = module(f"z = self.launch(x)\n{body}")
    assert {f.rule for f in rejections(examine(beside, NO_TORCH))} == {"torch-compute"}


def test_the_constructor_may_compute():
    assert not rejections(examine(module("return self.launch(x)"), NO_TORCH))


STATE = [
    "self.out = self.launch(x)\nreturn self.out",
    "if self.out is None:\n    self.out = self.launch(x)\nreturn self.out",
    "self.cache[x.shape] = self.launch(x)\nreturn self.cache[x.shape]",
    "self.cache.setdefault(x.shape, x)\nreturn x",
    "setattr(self, 'out', x)\nreturn x",
    "self.packed.copy_(x)\nreturn x",
    "self.packed[0] = 1\nreturn x",
    "global LAST\nLAST = x\nreturn x",
    "CACHE[1] = x\nreturn x",
    "CACHE.update(a=x)\nreturn x",
    "SEEN.append(x)\nreturn x",
    "ModelNew.out = x\nreturn x",
    "type(self).out = x\nreturn x",
    "remember.last = x\nreturn x",
    "return remember(x)",
    "return known(x)",
    "return later(x)",
    "g = torch.cuda.CUDAGraph()\nreturn x",
    "self.cache.get(1).replay()\nreturn x.clone()",
    "return x if x is self.out else y",
    "if id(x) == self.eps:\n    return y\nreturn x",
    "if x.data_ptr() == self.eps:\n    return y\nreturn x",
    "key = (x.data_ptr(), x._version)\nif key in self.cache:\n    return self.cache[key]\nreturn x",
    "return self.cache[x.data_ptr()]",
    "return self.cache.get(x.data_ptr())",
    "if x.untyped_storage().data_ptr() == self.eps:\n    return y\nreturn x",
]
STATE_TOP = """
import functools
LAST = None
CACHE = {}
SEEN = []

def remember(a, kept={}):
    return kept.setdefault(1, a)

@functools.lru_cache
def known(a):
    return a

class Later:
    def __init__(self):
        self.seen = None
    def __call__(self, a):
        self.seen = a
        return a
later = Later()
"""


@pytest.mark.parametrize("body", STATE)
def test_what_one_call_keeps_for_the_next(body):
    source = module(body, STATE_TOP if "replay" not in body else "G = torch.cuda.CUDAGraph()")
    assert not rejections(examine(source))
    assert "state" in rules(source, Policy(), Level.FLAG)
    assert "state" in rules(source, NO_STATE)
    if "data_ptr" in body or "is self" in body or "id(x)" in body:
        assert "identity" in rules(source, Policy(), Level.FLAG)


@pytest.mark.parametrize(
    "text",
    [
        "@functools.lru_cache(maxsize=4)\ndef kept(a):\n    return a",
        "@functools.lru_cache(maxsize=4)\ndef kept(a):\n    return a if a is None else load_cpp('')",
        "def plain(a):\n    return a\nkept = functools.lru_cache(maxsize=4)(plain)",
        "def plain(a):\n    return a\nkept = functools.lru_cache(plain)",
        "def kept(a):\n    ModelNew.kernels = load_cpp('').run(a)\n    return a",
    ],
)
def test_a_cache_of_more_than_compiled_code_is_state(text):
    top = f"import functools\nfrom fitness.native import load_cpp\n{text}\n"
    source = module("return kept(x)", top)
    assert "state" in rules(source, Policy(), Level.FLAG)
    assert "state" in rules(source, NO_STATE)


def test_a_cache_of_a_constant_is_no_state():
    top = "import functools\n@functools.cache\ndef cores():\n    return 4\n"
    assert not rejections(examine(module("cores()\nreturn self.launch(x)", top), NO_STATE))


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (
            "try:\n    return self.launch(x)\nexcept Exception:\n    return torch.relu(x)",
            "fallback",
        ),
        ("try:\n    z = self.launch(x)\nexcept:\n    z = self.conv(x)\nreturn z", "fallback"),
        ("if False:\n    return self.launch(x)\nreturn x * 2", "never-taken"),
        ("if x.numel() < 0:\n    return self.launch(x)\nreturn x * 2", "never-taken"),
        ("n = x.shape[0]\nif n == -1:\n    return self.launch(x)\nreturn x", "never-taken"),
        ("if x.dim() < 0 and flag:\n    return self.launch(x)\nreturn x", "never-taken"),
        ("if x.shape[0] > 1 << 40:\n    return self.launch(x)\nreturn x", "never-taken"),
        ("try:\n    return self.own(x)\nexcept Exception:\n    return self.conv(x)", "fallback"),
        ("while 0:\n    return self.launch(x)\nreturn x * 2", "never-taken"),
        ("if 1 > 0:\n    return x * 2\nelse:\n    return self.launch(x)", "never-taken"),
        ("return x * 2", "decoy"),
        ("if False:\n    return self.launch(x)\nreturn x * 2", "decoy"),
    ],
)
def test_work_that_is_only_shown(body, rule):
    source = module(body)
    assert rule in rules(source, Policy(), Level.FLAG)
    assert not rejections(examine(source))
    assert rejections(examine(source, NO_TORCH))


def test_a_fallback_that_computes_nothing_is_none():
    body = "try:\n    return self.launch(x)\nexcept RuntimeError as e:\n    raise ValueError('no') from e"
    assert examine(module(body)) == ()


def test_a_fig_leaf_is_refused_by_its_library_calls():
    source = module("return torch.mm(self.launch(x), y)")
    assert not rejections(examine(source))
    assert rules(source, NO_LIBRARY) == {"library-call"}


@pytest.mark.parametrize(
    "text",
    [
        "class Model(nn.Module):\n    def forward(self, x):\n        return x * 2\nclass ModelNew(Model):\n    pass",
        "from problem import Model\nclass ModelNew(Model):\n    pass",
        "class Model(nn.Module):\n    def forward(self, x):\n        return x * 2\n"
        "class ModelNew(Model):\n    def __init__(self):\n        super().__init__()",
    ],
)
def test_an_inherited_reference(text):
    source = f"import torch\nfrom torch import nn\n{text}\n"
    assert "inherits" in rules(source, Policy(), Level.FLAG)
    assert rejections(examine(source, NO_TORCH))


@pytest.mark.parametrize(
    "text",
    [
        "class ModelNew(nn.Module):\n    def forward(self, x):\n        return x * 2",
        "class Model(nn.Module):\n    def forward(self, x):\n        return x * 2\nModelNew = Model",
        "class Model(nn.Module):\n    def forward(self, x):\n        return x * 2\n"
        "class ModelNew(Model):\n    def forward(self, x):\n        return super().forward(x)",
        "class ModelNew(nn.Conv1d):\n    def forward(self, x):\n        return super().forward(x)",
    ],
)
def test_a_reference_handed_in_again_has_no_kernel_of_its_own(text):
    source = f"import torch\nfrom torch import nn\n{text}\n"
    assert "no-own-kernel" in rules(source, Policy(), Level.NOTE)
    assert "no-own-kernel" in rules(source, NO_TORCH)


def test_an_unused_kernel_beside_a_used_one_is_a_note():
    top = "@triton.jit\ndef other(x):\n    pass\n@triton.jit\ndef helper(x):\n    return other(x)\n"
    notes = [f for f in examine(module("return self.launch(x)", top)) if f.rule == "unused-kernel"]
    assert [f.level for f in notes] == [Level.NOTE, Level.NOTE]


def test_many_calls_are_one_note():
    body = "\n".join(f"x = x + {i}" for i in range(20))
    (note,) = [f for f in examine(module(f"{body}\nreturn x")) if f.rule == "torch-compute"]
    assert "and 14 more" in note.text
    assert len(rejections(examine(module(f"{body}\nreturn x"), NO_TORCH))) == 21


def test_an_evaluation_says_what_is_allowed(tmp_path):
    spec = EvaluationSpec(problem=tmp_path, cache_dir=tmp_path, allow_state=False)
    assert of(spec) == NO_STATE
    assert of(EvaluationSpec(problem=tmp_path, cache_dir=tmp_path)) == Policy()


def test_a_forward_that_cannot_be_found_is_refused_where_work_must_be_own():
    source = "import torch\nModelNew = make()\n"
    assert not rejections(examine(source))
    assert rules(source, NO_TORCH) == {"no-own-kernel"}
