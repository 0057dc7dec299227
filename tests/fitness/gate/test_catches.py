"""What the gate refuses in Python, each trick by its own name and through aliases."""

import pytest

from fitness.policy import Level, examine, rejections

FRAME = """
import torch
from torch import nn
{top}


class ModelNew(nn.Module):
    def forward(self, x):
{body}
        return x
"""


def module(top="", body=""):
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return FRAME.format(top=top, body=lines)


def rules(source):
    return {f.rule for f in rejections(examine(source))}


PATCHES = (
    "torch.cuda.synchronize = print",
    "import torch as t\nt.cuda.synchronize = print",
    "from torch import cuda as c\nc.synchronize = print",
    "import torch.cuda as c\nc.synchronize = print",
    "t = torch\nt.cuda.synchronize = print",
    "a, b = 1, torch\nb.cuda.synchronize = print",
    "for t in (torch.cuda,):\n    t.synchronize = print",
    "(lambda t: setattr(t, 'synchronize', print))(torch.cuda)",
    "def f(t):\n    t.synchronize = print\nf(torch.cuda)",
    "def f():\n    return torch.cuda\nf().synchronize = print",
    "class A:\n    t = torch.cuda\nA.t.synchronize = print",
    "(torch.cuda, 1)[0].synchronize = print",
    "{'a': torch.cuda}['a'].synchronize = print",
    "tools = {'a': torch.cuda}\ntools['a'].synchronize = print",
    "[torch.cuda][0].synchronize = print",
    "setattr(torch.cuda, 'synchronize', print)",
    "s = setattr\ns(torch.cuda, 'synchronize', print)",
    "setattr(torch.cuda, 'syn' + 'chronize', print)",
    "setattr(torch.cuda, ''.join(reversed('ezinorhcnys')), print)",
    "setattr(getattr(torch, 'cu' + 'da'), 'synchronize', print)",
    "import builtins\nbuiltins.setattr(torch.cuda, 'synchronize', print)",
    "import functools\nfunctools.partial(setattr, torch.cuda)('synchronize', print)",
    "delattr(torch.cuda, 'synchronize')",
    "del torch.cuda.synchronize",
    "torch.cuda.__dict__['synchronize'] = print",
    "vars(torch.cuda)['synchronize'] = print",
    "vars(torch.cuda).update(synchronize=print)",
    "torch.cuda.__dict__.update({'synchronize': print})",
    "torch.cuda.__dict__.__setitem__('synchronize', print)",
    "torch.cuda.__setattr__('synchronize', print)",
    "object.__setattr__(torch.cuda, 'synchronize', print)",
    "type.__setattr__(torch.Tensor, 'clone', print)",
    "import operator\noperator.setitem(torch.cuda.__dict__, 'synchronize', print)",
    "import operator\noperator.attrgetter('cuda')(torch).synchronize = print",
    "import sys\nsys.modules['torch'].cuda.synchronize = print",
    "import sys\nsys.modules.get('torch').cuda.synchronize = print",
    "import sys as s\ns.modules['torch.cuda'] = print",
    "from sys import modules as m\nm['torch'] = 1",
    "globals()['torch'].cuda.synchronize = print",
    "import importlib\nimportlib.import_module('torch.cuda').synchronize = print",
    "__import__('torch').cuda.synchronize = print",
    "torch.Tensor.clone = lambda t: t",
    "torch.empty(1).__class__.clone = print",
    "type(torch.empty(1)).clone = print",
    "torch.cuda.Event().__class__.elapsed_time = print",
    "torch.cuda.Event.elapsed_time, y = print, 1",
    "with open('x') as torch.cuda.synchronize:\n    pass",
    "torch.allclose: object = print",
    "torch.testing.assert_close = print",
    "import time\ntime.perf_counter_ns = int",
    "import time as clock\nclock.perf_counter = int",
    "from time import perf_counter\nimport time\nt = time\nt.time = perf_counter",
    "import triton\ntriton.testing.do_bench = print",
    "from triton import testing as t\nt.do_bench = print",
    "import triton.testing\nsetattr(triton.testing, 'do_' + 'bench', print)",
    "import sys\nsys.stdout = None",
    "import builtins\nbuiltins.print = int",
    "import importlib\nimportlib.reload(torch)",
    "import sys\nsys.meta_path.insert(0, None)",
    "exec('import torch as t; t.cuda.synchronize = print')",
    "torch.library.Library('aten', 'IMPL')",
    "l = torch.library\nl.Library('at' + 'en', 'IMPL', 'CUDA')",
    "@torch.library.impl('aten::mm', 'CPU')\ndef mm(a, b):\n    return a",
    "nn.Module.__call__ = print",
    "import threading\nthreading.Lock = print",
    "torch.nn.functional.softmax = print",
)


@pytest.mark.parametrize("text", PATCHES)
@pytest.mark.parametrize("where", ["top", "body"])
def test_replacing_what_belongs_to_a_library(text, where):
    if where == "body" and text.startswith("from time"):
        pytest.skip("the same in both places")
    assert rules(module(**{where: text})) == {"patch"}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('ctypes')",
        "__import__('cty' + 'pes')",
        "getattr(__builtins__, '__import__')('ctypes')",
        "__builtins__['__import__']('ctypes')",
        "import importlib as i\ni.import_module('sub' + 'process')",
        "import importlib as i\nf = i.import_module\nf('ctypes')",
        "from importlib import import_module as f\nf('socket')",
        "import sys\nsys.modules['subprocess'].run('ls')",
        "import sys\nsys.modules['__main__'].expected",
        "exec('import ctypes')",
        "exec('import ' + 'ctypes')",
        "exec(bytes.fromhex('696d706f727420637479706573'))",
        "import base64\nexec(base64.b64decode('aW1wb3J0IGN0eXBlcw=='))",
        "exec(''.join(chr(c) for c in (105, 109, 112, 111, 114, 116, 32, 103, 99)))",
        "exec(''.join(map(chr, [105, 109, 112, 111, 114, 116, 32, 103, 99])))",
        "eval(\"__import__('ctypes')\")",
        "e = eval\ne(\"__import__('ctypes')\")",
        "exec(compile('import ctypes', 'x', 'exec'))",
        "import torch.multiprocessing as mp",
        "from torch import multiprocessing",
        "torch.multiprocessing.spawn(print)",
        "from torch import hub",
        "import fitness.judge",
        "from concurrent.futures import ThreadPoolExecutor",
        "from multiprocessing.pool import ThreadPool",
        "from unittest import mock",
        "try:\n    import ctypes\nexcept ImportError:\n    pass",
        "if torch.cuda.is_available():\n    import ctypes",
        "name = input\n__import__(str(name))",
        "from threading import Thread",
        "from threading import *",
        "import threading\nthreading.Thread(target=print).start()",
        "import threading as t\nmake = t.Timer\nmake(1, print)",
        "import threading\nlist(map(threading.Thread, [None]))",
        "import threading\nclass Late(threading.Thread):\n    pass",
        "import threading\ngetattr(threading, name)(target=print)",
        "import multiprocessing\nmultiprocessing.Process(target=print)",
        "import multiprocessing as m\nm.Pool(2)",
        "from multiprocessing import shared_memory",
    ],
)
def test_modules_a_kernel_has_no_use_for(text):
    assert {"import", "call"} & rules(module(top=text))
    assert {"import", "call"} & rules(module(body=text))


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos._exit(0)",
        "import os as o\no._exit(0)",
        "from os import _exit\n_exit(0)",
        "from os import _exit as leave\nleave(0)",
        "import os\nleave = os._exit\nleave(0)",
        "import os\ngetattr(os, '_ex' + 'it')(0)",
        "import os\ngetattr(os, name)(0)",
        "__import__('os')._exit(0)",
        "import os\nos.write(1, b'result')",
        "import os\nos.dup2(1, 2)",
        "import os\nos.system('ls')",
        "import os\nos.sched_setaffinity(0, {1})",
        "import os, operator\noperator.attrgetter('system')(os)('ls')",
        "import sys\nsys._getframe(1)",
        "import sys\nf = sys._getframe\nf(1)",
        "import inspect\ninspect.stack()",
        "import inspect as i\ni.currentframe()",
        "from inspect import stack\nstack()",
        "import traceback\ntraceback.extract_stack()",
        "import sys\nsys.settrace(print)",
        "import time\ntime.sleep(1)",
        "from time import sleep as s\ns(1)",
        "import atexit\natexit.register(print)",
        "import atexit\n@atexit.register\ndef late():\n    pass",
        "torch.ops.load_library('x.so')",
        "list(map(setattr, [torch.cuda], ['synchronize'], [print]))",
        "breakpoint()",
    ],
)
def test_calls_a_kernel_has_no_use_for(text):
    assert "call" in rules(module(top=text))
    assert "call" in rules(module(body=text))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("print.__code__", "code"),
        ("def f():\n    pass\nf.__code__ = print", "patch"),
        ("torch.cuda.synchronize.__code__ = print", "patch"),
        ("getattr(torch.cuda.synchronize, '__co' + 'de__')", "code"),
        ("torch.cuda.synchronize.__globals__['x'] = 1", "code"),
        ("().__class__.__base__.__subclasses__()", "code"),
        ("def f():\n    yield\nf().gi_frame", "code"),
        ("try:\n    x = 1\nexcept Exception as e:\n    e.__traceback__.tb_frame", "code"),
        ("f_locals = 1\nx = print\nx.f_back.f_locals", "code"),
        ("import types\ntypes.CodeType()", "code"),
        ("from types import FunctionType as F\nF(None, {})", "code"),
        ("__builtins__", "builtins"),
        ("b = __builtins__\nb['print'] = int", "builtins"),
        ("b = globals()['__builtins__']\nb['print'] = int", "patch"),
        ("exec(input())", "exec"),
        ("exec(x)", "exec"),
        ("import zlib, base64\nexec(zlib.decompress(base64.b64decode(BLOB)))", "exec"),
        ("exec(open('x').read())", "exec"),
        ("torch.jit.fork(print)", "thread"),
        ("f = torch.jit\nf._fork(print)", "thread"),
        ("class T(torch.Tensor):\n    def __torch_function__(self): pass", "subclass"),
        ("B = torch.Tensor\nclass T(B):\n    __torch_dispatch__ = print", "subclass"),
        ("type('T', (torch.Tensor,), {})", "subclass"),
        ("torch.Tensor._make_subclass(print, 1)", "subclass"),
        ("open('/dev/shm/answers', 'rb')", "file"),
        ("open('/tmp/answers', 'wb')", "file"),
        ("open('/dev' + '/shm/answers')", "file"),
        ("import os\nopen(os.path.join('/tmp', 'answers'), 'wb')", "file"),
        ("import os\ntorch.save({}, os.path.join('/tmp', str(torch), 'x.pt'))", "file"),
        ("import os\nopen(os.path.join('x', '/dev/shm', 'y'))", "file"),
        ("import pathlib\npathlib.Path('/tmp/x')", "file"),
        ("torch.save({}, '/tmp/x.pt')", "file"),
        ("torch.from_file('/dev/shm/x')", "file"),
        ("open('/proc/self/mem', 'r+b')", "file"),
        ("open(f'/proc/{1}/environ')", "file"),
        ("open(3, 'w')", "file"),
        ("torch.cuda.memory.change_current_allocator(1)", "memory"),
    ],
)
def test_reaching_into_the_interpreter_and_the_machine(text, rule):
    assert rule in rules(module(top=text))
    assert rule in rules(module(body=text))


@pytest.mark.parametrize(
    "body",
    [
        "y = x.clone()\ny.cpu = lambda: x",
        "y = torch.empty_like(x)\nsetattr(y, 'cpu', lambda: x)",
        "y = x.clone()\ny.__class__ = Lazy",
    ],
)
def test_a_tensor_gets_no_method_of_its_own(body):
    assert "patch" in rules(module(body=body))


def test_a_method_of_a_class_and_a_nested_function_are_read_too():
    source = module(
        top="""
class Helper:
    def __init__(self, t):
        self.t = t

    def act(self):
        def deeper():
            self.t.synchronize = print
        return deeper

helper = Helper(torch.cuda)
"""
    )
    assert rules(source) == set()
    assert rules(source + "helper.act()()\n") == {"patch"}


def test_what_is_run_by_itself_is_not_refused():
    source = module() + "\nif __name__ == '__main__':\n    import subprocess\n    import time\n"
    assert not rules(source)
    assert {f.rule for f in examine(source) if f.level is Level.FLAG} == {"import"}
    assert rules(f"__name__ = '__main__'\n{source}") == {"import"}


def test_a_text_that_is_run_is_read_with_its_line():
    source = module(top="x = 1\nexec('''\nimport gc\n''')")
    (finding,) = [f for f in examine(source) if f.rule == "import"]
    assert finding.line == 5


def test_a_template_of_code_is_a_flag():
    source = module(top="for n in (1, 2):\n    exec(f'def double_{n}(v): return v * {n}')")
    assert not rules(source)
    assert "call" in {f.rule for f in examine(source)}


@pytest.mark.parametrize(
    "text",
    [
        "x = 'a' * 10**12",
        "x = 10 ** 10 ** 10",
        "x = 1 << 10 ** 9",
        "x = '{:>99999999999}'.format(1)",
        "x = '%99999999999d' % 1",
        "x = 'a'.ljust(10**12).center(10**12)",
        "x = ','.join(str(i) for i in range(10**12))",
        "x = bytes(10**12)",
        "def f(n):\n    return f(n - 1) + f(n - 2)\nf(90)",
        "x = [[[[i for i in (1,) * 512] for j in (1,) * 512] for k in (1,) * 512]]",
        "x = " + " + ".join("a" for _ in range(20000)),
        "a = (1, 2)\n" + "a = (a, a)\n" * 200,
        "f = lambda g: g(g)\nf(f)",
        "class A(A):\n    pass\nclass B:\n    pass\nB.__bases__ = (B,)",
        "x: int\ntype = 1\nmatch x:\n    case [1, *rest] if rest: pass\n    case {'a': b}: pass",
        "async def f():\n    async with x as y: await y\n    async for z in y: yield z",
        "lambda *a, **k: (yield)",
    ],
)
def test_nothing_is_too_much_for_it(text):
    examine(module(top=text))
    examine(module(body=text))
