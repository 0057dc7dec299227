"""Candidates that go wrong in every way they can, without the static gate in their way.

Each ends with an outcome of its own within its time limit, leaves no process, file or memory
behind, and the next candidate is judged as if nothing had been.
"""

from __future__ import annotations

import os
import socket
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitness.vacancy import FOLDER_BYTES
from populations.outcome import Outcome
from tests.fitness.fault_place import (
    PROBLEM,
    RUN_LIMIT_S,
    SECRET,
    Place,
    needs,
    opened,
    source,
)
from tests.fitness.test_pool import direct_children

NATIVE = '''
from fitness.native import load_cpp
from torch import nn

TEXT = r"""
{text}
"""
library = load_cpp(TEXT)


class ModelNew(nn.Module):
    def forward(self, a, b):
        library.misbehave(a.numel())
        return a + b
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with opened(tmp_path_factory.mktemp("faults"), RUN_LIMIT_S) as place:
        yield place


ENDLESS = {
    "a loop": "while True: pass",
    "a lock taken twice": """
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
    """,
    "threads that wait for each other": """
        first, second = threading.Lock(), threading.Lock()
        def cross(one, other):
            with one:
                time.sleep(0.1)
                with other:
                    pass
        threads = [threading.Thread(target=cross, args=pair, daemon=True)
                   for pair in ((first, second), (second, first))]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    """,
    "a fork bomb": """
        while True:
            try:
                os.fork()
            except OSError:
                pass
    """,
    "a pipe that nobody writes to": "os.read(os.pipe()[0], 1)",
}


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS.keys())
def test_what_does_not_end_is_ended(place: Place, body: str) -> None:
    evaluation = place.judged(source(body))
    assert evaluation.outcome is Outcome.TIMEOUT, evaluation.diagnostics
    assert f"no answer within {RUN_LIMIT_S:g} s" in evaluation.diagnostics


NATIVE_ENDLESS = {
    "a loop that no signal reaches": """
#include <csignal>
extern "C" void misbehave(long n) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  volatile long i = n;
  while (i) i = n;
}
""",
    "threads in a barrier that one never comes to": """
#include <pthread.h>
extern "C" void misbehave(long n) {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  pthread_barrier_wait(&barrier);
}
""",
}


@pytest.mark.compiler
@pytest.mark.parametrize("text", NATIVE_ENDLESS.values(), ids=NATIVE_ENDLESS.keys())
def test_native_code_that_does_not_end_is_ended(place: Place, text: str) -> None:
    evaluation = place.judged(NATIVE.replace("{text}", text), "cpp")
    assert evaluation.outcome is Outcome.TIMEOUT, evaluation.diagnostics


def test_processes_are_refused_beyond_their_number(place: Place) -> None:
    needs(place, "user")
    evaluation = place.judged(source("while os.fork() or True: pass"))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "BlockingIOError" in evaluation.diagnostics


TOO_LARGE = {
    "bytes": "bytearray(30 << 30)",
    "a tensor": "torch.empty(30 << 30, dtype=torch.uint8)",
    "pieces": "[torch.ones(64 << 20, dtype=torch.uint8) for _ in range(30 << 4)]",
    "a mapping": "import mmap; mmap.mmap(-1, 30 << 30)",
}


@pytest.mark.parametrize("body", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_thirty_gigabytes_are_refused(place: Place, body: str) -> None:
    evaluation = place.judged(source(body))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "alloc" in evaluation.diagnostics.lower() or "memory" in evaluation.diagnostics.lower()


def test_memory_is_added_up_over_processes(tmp_path: Path) -> None:
    body = """
    for _ in range(14):
        if os.fork() == 0:
            block = b"x" * (100 << 20)
            time.sleep(60)
    time.sleep(60)
    """
    # Touching so much takes a while on a busy machine.
    with opened(tmp_path, 30.0, 128 << 20) as place:
        needs(place, "memory-watch")
        evaluation = place.judged(source(body))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR, evaluation.diagnostics
    assert "MiB of memory, 1216 allowed" in evaluation.diagnostics


def test_files_in_memory_are_refused(place: Place) -> None:
    needs(place, "seccomp")
    evaluation = place.judged(source('os.memfd_create("hidden")'))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "PermissionError" in evaluation.diagnostics


FILL = """
written = 0
try:
    for number in range(1 << 20):
        with open("{folder}/fill-%d" % number, "wb", buffering=0) as file:
            for _ in range(32):
                written += file.write(bytes(1 << 20))
except OSError as error:
    raise RuntimeError("%d bytes, then %s" % (written, error))
"""


def test_its_own_folder_is_bounded(place: Place) -> None:
    needs(place, "private-folder")
    before = memory_bytes("Shmem")
    evaluation = place.judged(source(FILL.format(folder=".")))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "No space left on device" in evaluation.diagnostics
    written = int(evaluation.diagnostics.partition("RuntimeError: ")[2].partition(" bytes")[0])
    assert 0.9 * FOLDER_BYTES < written <= FOLDER_BYTES
    # The folder was memory, and is no more.
    assert memory_bytes("Shmem") < before + FOLDER_BYTES / 2


def test_so_is_the_number_of_its_files(place: Place) -> None:
    needs(place, "private-folder")
    body = """
    for number in range(1 << 20):
        os.close(os.open("empty-%d" % number, os.O_CREAT | os.O_WRONLY))
    """
    evaluation = place.judged(source(body))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "No space left on device" in evaluation.diagnostics


@pytest.mark.parametrize("folder", ["/dev/shm", "/tmp", "/var/tmp"])
def test_the_disk_cannot_be_filled(place: Place, folder: str) -> None:
    needs(place, "landlock")
    evaluation = place.judged(source(FILL.format(folder=folder)))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "RuntimeError: 0 bytes, then" in evaluation.diagnostics


def test_a_gigabyte_of_output_is_cut(place: Place) -> None:
    body = """
    os.write(1, b"the first line\\n")
    piece = b"x" * (1 << 20)
    for _ in range(1 << 10):
        os.write(1, piece)
    os.write(2, b"the last line\\n")
    raise RuntimeError("after it")
    """
    evaluation = place.judged(source(body))
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert "RuntimeError: after it" in evaluation.diagnostics
    assert "the last line" in evaluation.diagnostics
    assert len(evaluation.diagnostics) < 10_000


def test_its_own_file_is_called_by_its_name_alone(place: Place) -> None:
    evaluation = place.judged(source("print(__file__, flush=True); raise ValueError(__file__)"))
    assert "its output:\ncandidate.py" in evaluation.diagnostics


def test_stopping_itself_is_no_way_to_stay(place: Place) -> None:
    evaluation = place.judged(source("os.kill(os.getpid(), signal.SIGSTOP)"))
    # The first process of a namespace does not hear a signal of its own.
    alone = place.pool.layers()["process-namespace"].on
    expected = Outcome.PASSED if alone else Outcome.TIMEOUT
    assert evaluation.outcome is expected, evaluation.diagnostics


KILLERS = {
    "its parent": "os.kill(os.getppid(), signal.SIGKILL)",
    "all there are": "os.kill(-1, signal.SIGKILL)",
    "its group": "os.killpg(0, signal.SIGKILL)",
    "by number": """
        for pid in range(2, 40_000):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
    """,
    "the judge's number": "os.kill({judge}, signal.SIGKILL)",
}


@pytest.mark.parametrize("body", KILLERS.values(), ids=KILLERS.keys())
def test_nobody_else_is_killed(place: Place, body: str) -> None:
    needs(place, "process-namespace")
    (inner,) = direct_children(place.pool._zygote.pid)
    judges = direct_children(inner)
    body = body.replace("{judge}", str(judges[0]))
    # `judged` finds the same judge and the same baselines afterwards.
    outcome = place.judged(source(body)).outcome
    assert outcome in (Outcome.PASSED, Outcome.RUNTIME_ERROR)


# What is tried -> whether it is reached. Every candidate tells of all it reached.
ATTEMPTS = """
def reached(what):
    try:
        return bool(what())
    except OSError:
        return False

def libc(name, *arguments):
    return getattr(ctypes.CDLL(None), name)(*arguments) >= 0

def sent(family, kind, address):
    with socket.socket(family, kind) as end:
        end.settimeout(1)
        if kind == socket.SOCK_DGRAM:
            return end.sendto(b"x", address)
        end.connect(address)
        return True

def others():
    return [n for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid()]

def opened(name, mode):
    with open(name, mode) as file:
        return file.read(1) if "r" in mode else file.write(b"0")

def secrets():
    texts = [open("/proc/%s/environ" % n, "rb").read() for n in ["self", "1", *others()]]
    texts += [open("/proc/self/cmdline", "rb").read(), repr(dict(os.environ)).encode()]
    return any({secret!r} in text for text in texts)

tries = {{
    "own file": lambda: opened("mine", "wb"),
    "a secret": secrets,
    "other processes": others,
    "the judge's environment": lambda: opened("/proc/{judge}/environ", "rb"),
    "the judge's memory": lambda: opened("/proc/{judge}/mem", "rb"),
    "tracing its parent": lambda: libc("ptrace", 16, os.getppid() or 1, 0, 0),
    "tracing the judge": lambda: libc("ptrace", 16, {judge}, 0, 0),
    "loopback": lambda: sent(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", {port})),
    "an abstract socket": lambda: sent(socket.AF_UNIX, socket.SOCK_STREAM, {abstract!r}),
    "an abstract datagram": lambda: sent(socket.AF_UNIX, socket.SOCK_DGRAM, {abstract!r}),
    "a socket at a path": lambda: sent(socket.AF_UNIX, socket.SOCK_DGRAM, {path!r}),
    "the order of killing": lambda: opened("/proc/self/oom_score_adj", "wb"),
    "the problem": lambda: opened({problem!r}, "rb"),
    "the run": lambda: opened({run!r}, "rb"),
    "passwords": lambda: opened("/etc/shadow", "rb"),
    "the compiled baselines": lambda: os.listdir({inductor!r}),
}}
raise RuntimeError("reached: " + ", ".join(n for n, what in tries.items() if reached(what)))
"""


def test_nothing_outside_is_reached(place: Place) -> None:
    needs(place, "process-namespace", "landlock", "seccomp")
    (inner,) = direct_children(place.pool._zygote.pid)
    inductor = place.pool.spec.cache_dir / "inductor"
    inductor.mkdir(exist_ok=True)
    abstract, path = f"\0evo-{os.getpid()}", str(place.run / "socket")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hidden,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as shown,
    ):
        hidden.bind(abstract)
        shown.bind(path)
        Path(path).chmod(0o777)
        values = {
            "secret": SECRET.encode(),
            "judge": direct_children(inner)[0],
            "port": server.getsockname()[1],
            "abstract": abstract,
            "path": path,
            "problem": str(PROBLEM),
            "run": str(place.run / "run.db"),
            "inductor": str(inductor),
        }
        evaluation = place.judged(source(ATTEMPTS.format(**values)))
        # The same can be done outside.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            assert end.sendto(b"x", path) == end.sendto(b"x", abstract) == 1
    assert PROBLEM.read_bytes()
    assert list(inductor.iterdir()) == []
    assert os.environ["OPENAI_API_KEY"] == SECRET
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    line = evaluation.diagnostics.partition("reached: ")[2].splitlines()[0]
    assert line == "own file"


LEAVE = """
import glob
folders = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/dev/mqueue", "/", os.getcwd(), "..", "../.."]
folders += [os.path.expanduser("~"), "/root", "/home", os.environ["EVO_CACHE_DIR"]]
folders += [os.environ["EVO_CACHE_DIR"] + "/cpp", "{run}"]
folders += [text for text in os.environ.values() if text.startswith("/")]
folders += sys.path + [os.path.dirname(torch.__file__)]
marks = [os.path.join(folder, "evo-mark") for folder in folders if folder]
found = [mark for mark in marks if os.path.exists(mark)]
if found:
    raise RuntimeError("found what another candidate left: %s" % found)
for mark in marks:
    try:
        open(mark, "w").close()
    except OSError:
        pass
if not os.path.exists("evo-mark"):
    raise RuntimeError("nothing was left at all")
"""


def test_nothing_is_left_for_the_next_candidate(place: Place) -> None:
    needs(place, "landlock")
    text = source(f"if not os.path.exists('evo-mark'):\n{textwrap.indent(LEAVE, '    ')}")
    text = text.replace("{run}", str(place.run))
    for _ in range(2):
        evaluation = place.judged(text)
        assert evaluation.passed, evaluation.diagnostics


def memory_bytes(name: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise KeyError(name)
