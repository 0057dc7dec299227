"""Names that the rules on C++ and CUDA know, and what is said of them."""

from __future__ import annotations

import re

from fitness.gate.findings import Level

REJECT, FLAG, NOTE = Level

_PROCESS = "a kernel starts no process"
_THREAD = "threads come from OpenMP, whose regions end before the call does"
_NETWORK = "a kernel has no network"
_INTO = "a kernel reaches into no process and no library"
_SIGNAL = "a kernel handles no signal"
_ENDS = "a kernel does not end the process that judges it"
_FILES = "a kernel reads and writes no files"
_WAITS = "a kernel does not wait"
_PYTHON = "a kernel does not run Python from C++"
_MODE = "a kernel does not change how its whole process computes"
_SYSTEM = "a kernel makes no system call of its own"
# Refused wherever the name stands.
FORBIDDEN: dict[str, str] = {
    **dict.fromkeys(
        ("popen", "pclose", "posix_spawn", "posix_spawnp", "vfork", "fexecve"), _PROCESS
    ),
    **dict.fromkeys(
        ("execl", "execle", "execlp", "execv", "execve", "execvp", "execvpe"), _PROCESS
    ),
    **dict.fromkeys(("execveat", "waitpid", "wait4", "waitid", "forkpty", "daemon"), _PROCESS),
    **dict.fromkeys(("pthread_create", "thrd_create", "pthread_atfork", "clone3"), _THREAD),
    **dict.fromkeys(("ptrace", "process_vm_readv", "process_vm_writev", "mprotect"), _INTO),
    **dict.fromkeys(("pkey_mprotect", "dlopen", "dlmopen", "dlsym", "dlvsym", "dladdr"), _INTO),
    **dict.fromkeys(("dl_iterate_phdr", "dlinfo", "RTLD_NEXT", "RTLD_DEFAULT", "RTLD_LAZY"), _INTO),
    **dict.fromkeys(("RTLD_NOW", "RTLD_GLOBAL", "_GLOBAL_OFFSET_TABLE_", "link_map"), _INTO),
    **dict.fromkeys(
        ("memfd_create", "userfaultfd", "perf_event_open", "shm_open", "shmget"), _INTO
    ),
    **dict.fromkeys(
        ("shmat", "_r_debug", "mremap", "remap_file_pages", "cuMemGetAddressRange"), _INTO
    ),
    **dict.fromkeys(("cudaIpcOpenMemHandle", "cudaIpcGetMemHandle", "cuIpcOpenMemHandle"), _INTO),
    **dict.fromkeys(("cudaDeviceReset", "cuCtxDestroy", "cuDevicePrimaryCtxReset"), _ENDS),
    **dict.fromkeys(("_exit", "_Exit", "quick_exit", "killpg", "tgkill", "pthread_kill"), _ENDS),
    **dict.fromkeys(("sigaction", "sigprocmask", "sigaltstack", "signalfd", "sigqueue"), _SIGNAL),
    **dict.fromkeys(("pthread_sigmask", "setitimer", "timer_create", "sigsuspend"), _SIGNAL),
    **dict.fromkeys(("socketpair", "getaddrinfo", "gethostbyname", "recvmsg", "sendmsg"), _NETWORK),
    **dict.fromkeys(("setsockopt", "sendto", "recvfrom", "io_uring_setup"), _NETWORK),
    **dict.fromkeys(("prctl", "seccomp", "unshare", "setns", "personality", "arch_prctl"), _SYSTEM),
    **dict.fromkeys(("init_module", "bpf", "sched_setscheduler", "sched_setaffinity"), _SYSTEM),
    **dict.fromkeys(("atexit", "at_quick_exit", "on_exit", "__cxa_atexit"), "nothing runs later"),
    **dict.fromkeys(("usleep", "nanosleep", "clock_nanosleep", "sleep_for", "sleep_until"), _WAITS),
    **dict.fromkeys(("_mm_setcsr", "__builtin_ia32_ldmxcsr", "fesetenv", "feupdateenv"), _MODE),
    **dict.fromkeys(("_MM_SET_FLUSH_ZERO_MODE", "_MM_SET_DENORMALS_ZERO_MODE"), _MODE),
    **dict.fromkeys(("fesetround", "_MM_SET_ROUNDING_MODE", "_mm_setfpucw"), _MODE),
    **dict.fromkeys(("makecontext", "swapcontext", "__libc_system", "__libc_fork"), _INTO),
}
# Refused where the name is the system's: not a member, not declared in the text itself.
FORBIDDEN_FREE: dict[str, str] = {
    **dict.fromkeys(("system", "fork", "clone"), _PROCESS),
    **dict.fromkeys(("kill", "raise"), _ENDS),
    **dict.fromkeys(("signal", "alarm"), _SIGNAL),
    **dict.fromkeys(("socket", "connect", "send", "recv"), _NETWORK),
    **dict.fromkeys(("pipe", "pipe2", "dup", "dup2", "dup3", "open", "openat", "creat"), _FILES),
    **dict.fromkeys(("read", "write", "pread", "pwrite", "writev", "readv", "ioctl"), _FILES),
    **dict.fromkeys(("unlink", "ftruncate", "sendfile"), _FILES),
    "syscall": _SYSTEM,
    "sleep": _WAITS,
}
FLAGGED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("fopen", "freopen", "ofstream", "ifstream", "fstream", "fdopen"), ("file", _FILES)
    ),
    **dict.fromkeys(
        ("getenv", "secure_getenv", "environ", "setenv", "putenv"),
        ("call", "it reads the environment"),
    ),
    **dict.fromkeys(("mmap", "mmap64", "munmap"), ("memory", "memory comes from torch")),
    **dict.fromkeys(("exit", "abort"), ("call", _ENDS)),
    **dict.fromkeys(
        {"clock_gettime", "gettimeofday", "__rdtsc", "_rdtsc", "__rdtscp", "steady_clock"}
        | {"high_resolution_clock", "system_clock", "omp_get_wtime", "clock64", "globaltimer"},
        ("clock", "it reads a clock; a kernel is timed by the judge"),
    ),
    **dict.fromkeys(
        ("__builtin_return_address", "__builtin_frame_address", "backtrace", "_Unwind_Backtrace"),
        ("call", "a kernel does not ask who called it"),
    ),
    **dict.fromkeys(
        {"cudaStreamCreate", "cudaStreamCreateWithFlags", "cudaStreamCreateWithPriority"}
        | {"cudaStreamNonBlocking", "getStreamFromPool", "cuStreamCreate"},
        ("stream", "work on a stream of its own is timed like any other"),
    ),
    **dict.fromkeys(
        ("cudaLaunchHostFunc", "cudaStreamAddCallback", "cuLaunchHostFunc"),
        ("stream", "a kernel leaves nothing to run later"),
    ),
    **dict.fromkeys(
        {"cudaLimitPersistingL2CacheSize", "cudaLimitMaxL2FetchGranularity", "accessPolicyWindow"}
        | {"cudaStreamAttributeAccessPolicyWindow"},
        ("cache", "the judge empties the caches between calls"),
    ),
    **dict.fromkeys(
        ("cudaLaunchAttributeProgrammaticStreamSerialization",),
        ("stream", "work must be done when the call's kernels are"),
    ),
    **dict.fromkeys(
        ("omp_set_num_threads", "omp_set_dynamic", "sched_getaffinity", "setjmp", "longjmp"),
        ("threads", "it changes how the process runs"),
    ),
}
STATEFUL = frozenset(
    ("cudaGraphLaunch", "cudaGraphInstantiate", "cudaStreamBeginCapture", "cuGraphLaunch")
)
HEADERS: dict[str, tuple[Level, str]] = {
    **dict.fromkeys(("sys/ptrace.h", "dlfcn.h", "link.h", "sys/uio.h", "elf.h"), (REJECT, _INTO)),
    **dict.fromkeys(("sys/shm.h", "sys/ipc.h", "sys/msg.h", "sys/sem.h"), (REJECT, _INTO)),
    **dict.fromkeys(("sys/socket.h", "sys/un.h", "netdb.h", "ifaddrs.h"), (REJECT, _NETWORK)),
    **dict.fromkeys(("spawn.h", "sys/wait.h", "pty.h", "sys/prctl.h"), (REJECT, _PROCESS)),
    **dict.fromkeys(("sys/syscall.h", "syscall.h", "asm/unistd.h"), (REJECT, _SYSTEM)),
    **dict.fromkeys(("sys/epoll.h", "sys/eventfd.h", "sys/signalfd.h"), (REJECT, _SYSTEM)),
    **dict.fromkeys(("ucontext.h", "sys/ucontext.h"), (REJECT, _INTO)),
    **dict.fromkeys(
        ("unistd.h", "fcntl.h", "sys/mman.h", "fstream"), (FLAG, "a kernel needs no files")
    ),
    **dict.fromkeys(("sys/stat.h", "sys/ioctl.h", "filesystem"), (FLAG, "a kernel needs no files")),
    **dict.fromkeys(("signal.h", "csignal", "setjmp.h", "csetjmp"), (FLAG, _SIGNAL)),
    **dict.fromkeys(("thread", "future", "pthread.h", "threads.h"), (FLAG, _THREAD)),
    **dict.fromkeys(("execinfo.h", "unwind.h"), (FLAG, "a kernel does not ask who called it")),
    **dict.fromkeys(("chrono", "time.h", "ctime", "sys/time.h"), (NOTE, "it may read a clock")),
    **dict.fromkeys(("Python.h", "frameobject.h", "pybind11/embed.h"), (REJECT, _PYTHON)),
    **dict.fromkeys(("pybind11/eval.h",), (REJECT, _PYTHON)),
}
HEADER_FOLDERS = {"netinet/": _NETWORK, "arpa/": _NETWORK, "linux/": _SYSTEM, "/": _FILES}
PYTHON_NAMES = re.compile(
    r"Py(Run|Import|Object|Dict|Eval|GILState|Sys|Interpreter|ThreadState|Frame|Code|Function|List"
    r"|Tuple|Unicode|Long|Err|Cell|Gen|Type|Module_(Get|Add)|Mapping|Sequence|Number|Callable)_?\w*"
)
LIBRARY_NAMES = re.compile(
    r"(cublas|cudnn|cusparse|cusolver|cufft|cblas_|mkl_|MKL_|dnnl_|LAPACKE_|armpl_|vd[A-Z]|vs[A-Z])\w*"
    r"|[sdcz](gemm|gemv|symm|trsm|syrk|ger)_(_?)"
)
LIBRARY_HEADERS = re.compile(
    r"(cublas\w*|cudnn\w*|cusparse\w*|cusolver\w*|cufft\w*|cblas|mkl\w*|openblas|dnnl\w*"
    r"|oneapi/\w+|Eigen/\w+|thrust/\w+|lapacke|nppi?\w*)(\.h|\.hpp|\.cuh)?"
)
ATTRIBUTES: dict[str, str] = {
    **dict.fromkeys(
        ("constructor", "__constructor__", "destructor", "__destructor__"),
        "nothing runs when a library is loaded",
    ),
    **dict.fromkeys(
        ("ifunc", "__ifunc__", "init_priority"), "nothing runs when a library is loaded"
    ),
}
REFUSED_SECTIONS = (".init_array", ".fini_array", ".preinit_array", ".ctors", ".dtors", ".init")
KEYWORDS_BEFORE_USE = frozenset(
    {"return", "else", "do", "case", "throw", "new", "delete", "goto", "sizeof", "co_return"}
    | {"and", "or", "not", "typeof", "decltype", "using", "if", "while"}
)
