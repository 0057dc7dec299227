"""Names that the rules on Python know, and what is said of them."""

from __future__ import annotations

from fitness.gate.findings import Level

REJECT, FLAG, NOTE = Level

_PROCESS = "a kernel starts no process"
_THREAD = "a kernel starts no thread of Python"
_NETWORK = "a kernel has no network"
_LOOK = "a kernel does not look into the interpreter"
_SEARCH = "a kernel uses nothing of the search"
_NATIVE = "C++ is loaded with load_cpp"
# Top-level package -> why a kernel has no use for it.
FORBIDDEN_IMPORTS = {
    **dict.fromkeys(("ctypes", "_ctypes", "cffi", "_cffi_backend"), _NATIVE),
    **dict.fromkeys(("subprocess", "_posixsubprocess", "multiprocessing", "posix"), _PROCESS),
    **dict.fromkeys(("pty", "pexpect", "pip", "ensurepip", "venv", "psutil", "sh"), _PROCESS),
    **dict.fromkeys(("concurrent", "threading", "_thread", "asyncio"), _THREAD),
    **dict.fromkeys(("trio", "gevent", "joblib", "sched"), _THREAD),
    "signal": "a kernel handles no signal",
    **dict.fromkeys(("socket", "_socket", "urllib", "http", "requests", "httpx"), _NETWORK),
    **dict.fromkeys(("aiohttp", "socketserver", "ftplib", "smtplib", "ssl", "xmlrpc"), _NETWORK),
    **dict.fromkeys(("select", "selectors", "paramiko", "huggingface_hub"), _NETWORK),
    **dict.fromkeys(("gc", "faulthandler", "bdb", "pdb", "code", "codeop", "trace"), _LOOK),
    **dict.fromkeys(("tracemalloc", "_testcapi", "marshal"), _LOOK),
    **dict.fromkeys(("mmap", "_mmap", "fcntl", "_posixshmem"), "a kernel does not map memory"),
    "runpy": "a kernel runs no other module",
    "pytest": "a kernel replaces nothing of a library",
    "unittest": "a kernel replaces nothing of a library",
    "mock": "a kernel replaces nothing of a library",
    "fitness": "only load_cpp is a candidate's to use: from fitness.native import load_cpp",
    **dict.fromkeys(("populations", "operators", "evo"), _SEARCH),
}
# The same for parts of packages that are a kernel's to use.
FORBIDDEN_MODULES = {
    "torch.multiprocessing": _PROCESS,
    "torch.hub": _NETWORK,
    "torch.utils._python_dispatch": "a kernel does not intercept torch's functions",
    "torch.overrides": "a kernel does not intercept torch's functions",
    "numpy.ctypeslib": _NATIVE,
    "importlib.abc": "a kernel changes nothing of how modules are imported",
}
# What a kernel may use of packages that are refused otherwise: a lock around a cache, a count.
ALLOWED_PARTS = {
    "threading": frozenset(("Lock", "RLock", "local", "get_ident")),
    "multiprocessing": frozenset(("cpu_count",)),
}
ALLOWED_FROM_FITNESS = ("fitness.native", frozenset(("load_cpp", "CppError")))
FLAGGED_IMPORTS = frozenset(
    {"importlib", "inspect", "sys", "builtins", "weakref", "time", "pickle", "atexit"}
    | {"dis", "shelve", "sqlite3", "tempfile", "shutil", "glob", "traceback", "linecache"}
    | {"zipimport", "imp", "site", "resource"}
)
# Modules whose attributes a candidate may read and call, but not replace.
LIBRARIES = frozenset(
    {"torch", "time", "triton", "builtins", "sys", "os", "math", "numpy", "functools", "types"}
    | {"importlib", "inspect", "traceback", "linecache", "random", "statistics", "json", "io"}
    | {"logging", "warnings", "pathlib", "contextlib", "weakref", "operator", "typing", "re"}
    | {"collections", "itertools", "site", "atexit", "pickle", "fitness", "string", "tempfile"}
    | {"threading", "multiprocessing"}
)
# Settings of libraries, which are meant to be assigned to.
SETTINGS = (
    "torch.backends.",
    "torch._dynamo.config.",
    "torch._inductor.config.",
    "torch._functorch.config.",
    "triton.knobs.",
    "os.environ",
)
PRECISION = ("allow_tf32", "fp32_precision", "reduced_precision", "allow_fp16")

_ENDS = "a kernel does not end the process that judges it"
_FDS = "a kernel reads and writes no file descriptors"
_FRAMES = "a kernel does not ask who called it"
_RUNS = _PROCESS
FORBIDDEN_OS: dict[str, str] = {
    **dict.fromkeys(("_exit", "abort", "kill", "killpg"), _ENDS),
    **dict.fromkeys(("dup", "dup2", "pipe", "pipe2", "write", "writev", "pwrite", "read"), _FDS),
    **dict.fromkeys(("open", "fdopen", "close", "closerange", "sendfile", "memfd_create"), _FDS),
    **dict.fromkeys(("openpty", "mkfifo", "splice", "eventfd", "pidfd_open", "set_blocking"), _FDS),
    **dict.fromkeys(("fork", "forkpty", "popen", "posix_spawn", "posix_spawnp", "setsid"), _RUNS),
    **dict.fromkeys(("system", "execl", "execle", "execlp", "execlpe", "execv", "execve"), _RUNS),
    **dict.fromkeys(("execvp", "execvpe", "spawnl", "spawnle", "spawnlp", "spawnv"), _RUNS),
    **dict.fromkeys(("spawnve", "spawnvp", "register_at_fork", "unshare", "setns"), _RUNS),
    **dict.fromkeys(("setpriority", "nice", "sched_setscheduler"), "a kernel keeps its priority"),
    "sched_setaffinity": "a kernel keeps to the processors it was given",
}
FLAGGED_OS = frozenset(
    {"remove", "unlink", "rename", "replace", "symlink", "link", "chmod", "rmdir", "removedirs"}
    | {"truncate", "listdir", "scandir", "walk", "getppid", "chdir", "putenv", "unsetenv"}
)
_TEXT = {
    **{f"os.{name}": (REJECT, "call", why) for name, why in FORBIDDEN_OS.items()},
    **{f"os.{name}": (FLAG, "file", "a kernel needs no files") for name in FLAGGED_OS},
}
CALLS: dict[str, tuple[Level, str, str]] = {
    **_TEXT,
    **dict.fromkeys(
        {"sys._getframe", "sys._current_frames", "inspect.stack", "inspect.currentframe"}
        | {"inspect.trace", "inspect.getouterframes", "traceback.extract_stack"}
        | {"traceback.format_stack", "traceback.print_stack", "traceback.walk_stack"}
        | {"sys._getframemodulename", "sys._current_exceptions"},
        (REJECT, "call", _FRAMES),
    ),
    **dict.fromkeys(
        {"sys.settrace", "sys.setprofile", "sys.addaudithook", "sys.monitoring.use_tool_id"}
        | {"sys.setswitchinterval", "sys.set_asyncgen_hooks", "inspect.getgeneratorlocals"},
        (REJECT, "call", _LOOK),
    ),
    "time.sleep": (REJECT, "call", "a kernel does not wait"),
    "builtins.breakpoint": (REJECT, "call", "a kernel is not debugged here"),
    "builtins.input": (REJECT, "call", "a kernel reads no input"),
    "importlib.reload": (REJECT, "patch", "a kernel loads no library anew"),
    "atexit.register": (REJECT, "call", "a kernel leaves nothing to run later"),
    "weakref.finalize": (FLAG, "call", "it leaves something to run later"),
    "types.CodeType": (REJECT, "code", "a kernel makes no code objects"),
    "types.FunctionType": (REJECT, "code", "a kernel makes no functions of code objects"),
    "torch.jit.fork": (REJECT, "thread", "a kernel leaves nothing to run later"),
    "torch.jit._fork": (REJECT, "thread", "a kernel leaves nothing to run later"),
    "torch.ops.load_library": (REJECT, "call", _NATIVE),
    "torch.classes.load_library": (REJECT, "call", _NATIVE),
    "torch.Tensor._make_subclass": (REJECT, "subclass", "forward returns plain tensors"),
    "torch.Tensor._make_wrapper_subclass": (REJECT, "subclass", "forward returns plain tensors"),
    "torch.cuda.change_current_allocator": (REJECT, "memory", "memory comes from torch's own pool"),
    "torch.cuda.memory.change_current_allocator": (
        REJECT,
        "memory",
        "memory comes from torch's own pool",
    ),
    **dict.fromkeys(
        ("torch.cuda.Stream", "torch.cuda.ExternalStream", "torch.Stream", "torch.cuda.stream"),
        (FLAG, "stream", "work on a stream of its own is timed like any other"),
    ),
    **dict.fromkeys(
        {"torch.set_default_dtype", "torch.set_default_device", "torch.set_printoptions"}
        | {"torch.set_num_threads", "torch.set_num_interop_threads", "torch.set_flush_denormal"}
        | {"torch.set_default_tensor_type", "torch.set_float32_matmul_precision"}
        | {"torch.use_deterministic_algorithms"},
        (FLAG, "setting", "a setting of torch, which the reference and the baselines do not share"),
    ),
    **dict.fromkeys(
        {"torch.from_file", "torch.save", "torch.load", "numpy.save", "numpy.load", "numpy.savez"}
        | {"numpy.memmap", "numpy.fromfile", "numpy.savetxt", "numpy.loadtxt", "pickle.dump"}
        | {"pickle.load", "tempfile.mkdtemp", "tempfile.mkstemp", "tempfile.NamedTemporaryFile"}
        | {"tempfile.TemporaryDirectory", "shutil.copy", "shutil.move", "shutil.rmtree"}
        | {"glob.glob", "pathlib.Path().read_text", "pathlib.Path().write_text"}
        | {"pathlib.Path().read_bytes", "pathlib.Path().write_bytes", "pathlib.Path().open"}
        | {"pathlib.Path().glob", "pathlib.Path().rglob", "pathlib.Path().iterdir"},
        (FLAG, "file", "a kernel needs no files"),
    ),
    **dict.fromkeys(
        {"os.getenv", "os.environ.get", "os.environ.copy", "os.environ.items", "sys.exit"}
        | {"builtins.exit", "builtins.quit", "inspect.getsource", "torch.cuda.cudart"},
        (FLAG, "call", "what a kernel computes does not depend on it"),
    ),
    **dict.fromkeys(
        {"time.time", "time.time_ns", "time.perf_counter", "time.perf_counter_ns"}
        | {"time.monotonic", "time.monotonic_ns", "time.process_time", "triton.testing.do_bench"}
        | {"torch.cuda.Event().elapsed_time"},
        (FLAG, "clock", "it reads a clock; a kernel is timed by the judge"),
    ),
    **dict.fromkeys(
        ("builtins.print", "sys.stdout.write", "sys.stderr.write", "sys.stdout.flush"),
        (NOTE, "prints", "what it prints is not read"),
    ),
}
# Attributes by which Python code reaches what was not given to it.
FORBIDDEN_ATTRIBUTES = {
    **dict.fromkeys(("__code__", "co_code", "co_consts", "func_code"), "code objects"),
    **dict.fromkeys(("__globals__", "func_globals", "f_globals", "f_builtins"), "another's names"),
    **dict.fromkeys(("f_locals", "f_back", "f_code", "gi_frame", "cr_frame"), "frames"),
    **dict.fromkeys(("ag_frame", "tb_frame", "tb_next"), "frames"),
    **dict.fromkeys(("__subclasses__", "__closure__", "cell_contents"), "another's objects"),
}
FLAGGED_ATTRIBUTES = frozenset(("__mro__", "__bases__", "__base__", "__self__", "__loader__"))
# Builtins that act by a name or a text they are given.
BY_NAME = frozenset(("setattr", "delattr", "exec", "eval", "compile", "__import__"))
WATCHED_BUILTINS = BY_NAME | frozenset(
    {"getattr", "globals", "locals", "vars", "open", "type", "print", "breakpoint", "input", "exit"}
    | {"quit", "chr", "ord", "str", "int", "bytes", "bytearray", "list", "tuple", "reversed", "map"}
    | {
        "len",
        "id",
        "staticmethod",
        "memoryview",
        "object",
        "super",
        "dir",
        "isinstance",
        "float",
        "range",
    }
)
# Paths that processes share, and paths into processes.
SHARED_FOLDERS = ("/dev/shm", "/tmp", "/var/tmp", "/run/", "/dev/fd", "/dev/std", "/dev/mem")
ALWAYS_REFUSED = ("/dev/shm", "/dev/mem", "/dev/fd", "/dev/std")
TENSOR_ATTRIBUTES = frozenset(("T", "mT", "H", "mH", "data", "grad", "real", "imag"))
SIZE_ATTRIBUTES = frozenset(("shape", "ndim", "itemsize", "nbytes"))
PLAIN_ATTRIBUTES = frozenset(
    {"dtype", "device", "is_cuda", "is_cpu", "layout", "requires_grad", "is_leaf"}
    | {"is_sparse", "is_quantized", "names", "output_nr", "grad_fn"}
)
