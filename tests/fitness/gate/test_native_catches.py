"""What the gate refuses in C++ and CUDA, and what is only like it."""

import time

import pytest

from fitness.gate.tokens import Source
from fitness.policy import Level, Policy, examine, rejections

FRAME = '''import torch
from torch import nn
from fitness.native import load_cpp

SOURCE = r"""
#include <cmath>
{top}
extern "C" void run(const float* x, float* out, long long n) {{
    {body}
    for (long long i = 0; i < n; ++i) out[i] = 2.0f * x[i];
}}
"""
kernels = load_cpp(SOURCE)


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        kernels.run(x, out, x.numel())
        return out
'''


def module(top="", body=""):
    return FRAME.format(top=top, body=body)


def findings(top="", body="", **policy):
    return examine(module(top, body), Policy(**policy))


def rules(top="", body=""):
    return {f.rule for f in rejections(findings(top, body))}


def test_the_frame_is_honest():
    assert findings() == ()


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("#include <cstdlib>", 'system("ls");'),
        ("#include <cstdlib>", 'std::system("ls");'),
        ("#include <cstdlib>", '::system("ls");'),
        ("#include <cstdlib>", 'auto f = system; f("ls");'),
        ("#include <cstdlib>", 'auto f = &system; f("ls");'),
        ('extern "C" int system(const char*);', 'system("ls");'),
        ("#define RUN system", 'RUN("ls");'),
        ("#define RUN(x) system(x)", 'RUN("ls");'),
        ("#define RUN sys##tem", 'RUN("ls");'),
        ("%:define RUN sys%:%:tem", 'RUN("ls");'),
        ("#define CAT(a, b) a##b", 'CAT(sys, tem)("ls");'),
        ("#define CAT_(a, b) a##b\n#define CAT(a, b) CAT_(a, b)", 'CAT(sys, tem)("ls");'),
        ("#define A sys\n#define CAT_(a, b) a##b\n#define CAT(a, b) CAT_(a, b)", "CAT(A, tem)(0);"),
        ("#define CAT(...) CAT_(__VA_ARGS__)\n#define CAT_(a, b) a##b", "CAT(sys, tem)(0);"),
        ("#define CAT(a, b, c) a##b##c", "CAT(s, yst, em)(0);"),
        ("", 'sys\\\ntem("ls");'),
        ("", 's\\u0079stem("ls");'),
        ("", 'popen("ls", "r");'),
        ("", "fork();"),
        ("", "clone(f, 0, 0, 0);"),
        ("", "execve(0, 0, 0);"),
        ("", "ptrace(0, 0, 0, 0);"),
        ("", 'dlopen("x", 2);'),
        ("", 'dlsym(RTLD_NEXT, "x");'),
        ("", "syscall(60, 0);"),
        ("", "sigaction(1, 0, 0);"),
        ("", "signal(11, 0);"),
        ("", "std::signal(11, 0);"),
        ("", "socket(1, 1, 1);"),
        ("", 'write(1, "x", 1);'),
        ("", 'auto fd = open("x", 0);'),
        ("", "_exit(0);"),
        ("", "kill(1, 9);"),
        ("", "mprotect(0, 0, 7);"),
        ("", "process_vm_writev(1, 0, 0, 0, 0, 0);"),
        ("", "usleep(10);"),
        ("struct T { void read(); };\nvoid T::read() { write(1, 0, 1); }", ""),
        ("struct T { int system(const char*); };", 'system("ls");'),
        ("#include <unistd.h>", "sleep(1);"),
        ("", "pthread_create(0, 0, 0, 0);"),
        ("", "cudaDeviceReset();"),
        ("", "cuMemGetAddressRange(0, 0, 0);"),
        ("", "atexit(late);"),
        ("", "int a = 1; // \\\n\n system(0);"),
        ("", '/* " */ system("/* \\" */");'),
        ("", 'auto t = R"x( )" )x"; system(0);'),
        ("", "auto c = '\"'; system(0); auto d = '\"';"),
        ("", "auto n = 1'000'000; system(0); auto m = 1'0;"),
    ],
)
def test_calls_of_the_system(top, body):
    assert rules(top, body) == {"native-call"}


@pytest.mark.parametrize(
    ("top", "body", "rule"),
    [
        ("#include <thread>", "std::thread t(f); t.detach();", "native-thread"),
        ("#include <thread>\nusing namespace std;", "thread t(f);", "native-thread"),
        ("#include <thread>\nusing std::jthread;", "jthread t(f);", "native-thread"),
        ("#include <future>", "auto r = std::async(f);", "native-thread"),
        ("#include <thread>", "std::vector<std::thread> all;", "native-thread"),
        ("#include <sys/ptrace.h>", "", "native-include"),
        ("#  include   <dlfcn.h>", "", "native-include"),
        ("#inc\\\nlude <dlfcn.h>", "", "native-include"),
        ("%:include <dlfcn.h>", "", "native-include"),
        ("#include /* x */ <dlfcn.h>", "", "native-include"),
        ("#include <sys/socket.h>", "", "native-include"),
        ('#include "/etc/passwd"', "", "native-include"),
        ("#include <linux/seccomp.h>", "", "native-include"),
        ("#include <Python.h>", "", "native-python"),
        ("", 'PyRun_SimpleString("import torch");', "native-python"),
        ("", "PyGILState_Ensure();", "native-python"),
        ("", 'py::module_::import("torch").attr("cuda");', "native-python"),
        ("", 'pybind11::exec("import os");', "native-python"),
        ("#define P(a) Py##a", 'P(Run_SimpleString)("x");', "native-call"),
        ("", 'asm volatile("syscall" ::: "memory");', "native-asm"),
        ("", '__asm__("int $0x80");', "native-asm"),
        ("", 'asm("sys" "call");', "native-asm"),
        ("", 'asm("// quiet\\n\\tcall system");', "native-asm"),
        ("", 'asm("call fork // %[read]" : : [read] "r"(x));', "native-asm"),
        ("", 'asm("call nanosleep");', "native-asm"),
        ('extern "C" int f(const char*) __asm__("system");', "f(0);", "native-asm"),
        ('asm(".incbin \\"/etc/passwd\\"");', "", "native-asm"),
        ("__attribute__((constructor)) void early() {}", "", "native-constructor"),
        ("__attribute__((unused, __constructor__(101))) void early() {}", "", "native-constructor"),
        ("[[gnu::constructor]] void early() {}", "", "native-constructor"),
        ('__attribute__((section(".init_array"))) void (*p)() = f;', "", "native-constructor"),
        ('__attribute__((weakref("system"))) static int f(const char*);', "", "native-constructor"),
        ("", 'auto f = fopen("/dev/shm/x", "w");', "file"),
        ("", 'auto f = fopen("/dev" "/shm/x", "w");', "file"),
        ("", 'auto f = fopen("\\x2fdev/shm/x", "w");', "file"),
        ("", 'auto f = fopen(R"(/tmp/x)", "w");', "file"),
        ("", 'std::ofstream f("/tmp/x");', "file"),
        ('#define PLACE "/proc/self/mem"', "fopen(PLACE, 0);", "file"),
        ("TORCH_LIBRARY_IMPL(aten, CUDA, m) {}", "", "patch"),
    ],
)
def test_what_no_kernel_needs(top, body, rule):
    assert rules(top, body) == {rule}


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("// system(), fork() and dlopen() are not called", ""),
        ("/* #include <dlfcn.h>\n system(0); */", ""),
        ("", 'const char* text = "system(fork())";'),
        ("", 'auto text = R"(asm("syscall"))";'),
        ("struct Signal { float signal; int kill; };", "Signal s{}; s.signal = 1; s.kill = 2;"),
        ("static inline float read(const float* p) { return *p; }", "float r = read(x);"),
        ("", "auto write = [&](long long i) { out[i] = 0; }; write(0);"),
        ("", "float system = 1; out[0] = system * x[0];"),
        ("enum Mode { open, read, write };", "auto m = open;"),
        ("template <class T> T connect(T a) { return a; }", "out[0] = connect(x[0]);"),
        ("", "auto y = tensor.clone(); auto z = at::clone(y); p->kill();"),
        ("", 'asm volatile("prefetcht0 (%0)" :: "r"(x));'),
        ("", 'asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32" : : );'),
        ("#include <thread>", "int n = std::thread::hardware_concurrency();"),
        ("", "int thread = 1; out[thread] = 0; int async = 2;"),
        ("#define KERNEL(name) void name##_kernel(float* p) { *p = 0; }\nKERNEL(scale)", ""),
        ("#define CAT(a, b) a##b", "float CAT(sys, tole) = 1;"),
        ('#define CHECK(x) if (x) { fprintf(stderr, "bad"); exit(1); }', "CHECK(n < 0)"),
        ("__attribute__((always_inline)) inline float twice(float v) { return v + v; }", ""),
        ('__attribute__((section("hot"))) void f() {}', ""),
        ("#include <unistd.h>", "long cores = sysconf(_SC_NPROCESSORS_ONLN);"),
        ("#include <chrono>\n#include <cstdio>\n#include <immintrin.h>\n#include <omp.h>", ""),
        ("", "#pragma omp parallel for num_threads(4)\nfor (int i = 0; i < 4; ++i) out[i] = 0;"),
        ("", 'PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("run", &run); }'),
        ("", 'auto f = fopen("weights.bin", "r");'),
        ("", "const int digits = 1'000'000; const char quote = '\\''; int a %:%: b;"),
        ("", 'printf("path /tmp/x and %d\\n", 3);'),
    ],
)
def test_what_is_only_like_it(top, body):
    assert rules(top, body) == set()


@pytest.mark.parametrize(
    ("top", "body", "named"),
    [
        ("static float cache[1024];", "", "cache"),
        ("float cache[1024];", "", "cache"),
        ("static std::unordered_map<long, float> cache;", "", "cache"),
        ("int calls = 0;", "++calls;", "calls"),
        ("namespace { int calls; }", "", "calls"),
        ("", "static const float* last = nullptr;", "last"),
        ("", "static int calls = 0;", "calls"),
        ("", "static std::vector<float> kept(1024);", "kept"),
        ("", "thread_local std::vector<float> kept;", "kept"),
        ("__device__ float kept[1024];", "", "kept"),
        ("__device__ int kept = 0;", "", "kept"),
        ("struct S { static int calls; };", "", "calls"),
    ],
)
def test_what_it_keeps_is_a_flag_and_refused_where_state_is(top, body, named):
    kept = findings(top, body)
    assert not rejections(kept)
    assert [f.rule for f in kept if f.level is Level.FLAG] == ["state"]
    assert named in kept[0].text
    (refused,) = rejections(findings(top, body, allow_state=False))
    assert refused.rule == "state"
    assert refused.line > 5


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("static const float table[4] = {1, 2, 3, 4};", ""),
        ("static constexpr int TILE = 64;  // tune: 32, 64", ""),
        ("constexpr float pi = 3.14f; const int lanes = 8;", ""),
        ("static float twice(float v) { return v + v; }", ""),
        ("static inline __attribute__((always_inline)) float twice(float v) { return v; }", ""),
        ("template <int N> static void f(float (&a)[N]) { a[0] = 0; }", ""),
        ("__global__ void k(float* p) { __shared__ float tile[32]; tile[0] = p[0]; }", ""),
        ("__global__ void __launch_bounds__(256) k(float* p) { static __shared__ int n; }", ""),
        ("__device__ __forceinline__ float f(float v) { return v; }", ""),
        ("static __device__ inline float g(float v) { return v; }", ""),
        ("__constant__ float weights[16];", ""),
        ('static const char* const names[] = {"a"};', ""),
        ("using Vec = float __attribute__((vector_size(32)));\ntypedef float F;", ""),
        ("struct Pair { float a; float b; };\nenum { N = 4 };\nunion U { int i; float f; };", ""),
        ("float helper(const float*, long long);\nvoid other(int n = 3);", ""),
        ("static_assert(sizeof(float) == 4);", ""),
        ("template <typename T> struct S { T v; static constexpr int n = 4; };", ""),
        ("", "float sums[8] = {}; int count = 0; std::vector<float> rows(8);"),
        ("#if defined(__AVX512F__)\n#include <immintrin.h>\n#endif", ""),
    ],
)
def test_what_is_constant_or_local_is_no_state(top, body):
    assert findings(top, body, allow_state=False) == ()


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ("#include <cblas.h>", "cblas_sgemm(0, 0);"),
        ("", "sgemm_(0, 0);"),
        ("", "cublasSgemm(0, 0);"),
        ("", "cublasLtMatmul(0);"),
        ("#define CAT(a, b) a##b", "CAT(cublas, Sgemm)(0);"),
        ("", "cudnnConvolutionForward(0);"),
        ("#include <mkl.h>", ""),
        ("", "auto y = at::matmul(a, b);"),
        ("", "auto y = torch::mm(a, b);"),
        ("", "auto y = at::_ops::mm::call(a, b);"),
        ("", "auto y = at::native::conv2d(a, b);"),
        ("#include <torch/extension.h>", "auto y = a.matmul(b);"),
        ("", "thrust::sort(a, b);"),
        ("", "cub::DeviceReduce::Sum(a, b);"),
    ],
)
def test_libraries_are_a_note_and_refused_where_they_are(top, body):
    found = findings(top, body)
    assert [(f.level, f.rule) for f in found] == [(Level.NOTE, "library-call")]
    refused = rejections(findings(top, body, allow_library_calls=False))
    assert {f.rule for f in refused} == {"library-call"}


@pytest.mark.parametrize(
    "body",
    [
        "auto y = at::empty({n}); auto z = torch::zeros_like(y); auto o = torch::kFloat;",
        "auto s = at::cuda::getCurrentCUDAStream(); at::Tensor t;",
        "cub::BlockReduce<float, 128> r; using B = cub::WarpReduce<float>;",
        "S s; s.matmul(a); s.sum();",
    ],
)
def test_allocating_with_torch_is_no_library_call(body):
    assert findings(body=body, allow_library_calls=False, allow_torch_compute=False) == ()


def test_computing_with_torch_in_cpp():
    body = "auto y = torch::relu(a);"
    assert [f.rule for f in findings(body=body)] == ["torch-compute"]
    assert {f.rule for f in rejections(findings(body=body, allow_torch_compute=False))} == {
        "torch-compute"
    }


def test_the_line_is_the_module_s():
    source = module(body="int a = 1;\\\n int b = 2;\n    system(0);")
    (found,) = rejections(examine(source))
    assert source.splitlines()[found.line - 1].strip() == "system(0);"


@pytest.mark.parametrize("loader", ["load_inline(name='x', cuda_sources=[{0}])", "load_cpp({0})"])
@pytest.mark.parametrize(
    "text",
    ["A + 'tem(0);'", "f'{A}tem(0);'", "A.replace('s', 's') + 'tem(0); '", "'%stem(0);' % A"],
)
def test_a_source_that_is_put_together_is_read_whole(loader, text):
    source = f"""
from torch.utils.cpp_extension import load_inline
from fitness.native import load_cpp
A = 'void f() {{ sys'
k = {loader.format(text)}
class ModelNew: pass
"""
    assert {f.rule for f in rejections(examine(source))} == {"native-call"}


def test_the_rest_of_a_source_known_in_part_is_read():
    source = """
from fitness.native import load_cpp
k = load_cpp(f'void f() {{ int n = {unknown()}; system(0); }}')
class ModelNew: pass
"""
    assert {f.rule for f in rejections(examine(source))} == {"native-call"}


@pytest.mark.parametrize(
    "text",
    [
        "#define A A\n#define B(x) B(x) B(x)\nB(B(B(1)))",
        "#define A(x) B(x, x)\n#define B(x, y) A(x##y)\nA(a)",
        "\n".join(f"#define M{i}(x) M{i + 1}(x##x, x)" for i in range(60)) + "\nM0(a)",
        "#define",
        "#define F(",
        "#define F(a, ...) a##",
        "F(((((",
        'R"unending(',
        '"unending',
        "/* unending",
        "'",
        "\\",
        "#",
        "#include",
        "asm(",
        "static",
        "__attribute__((",
        "at::",
        "py::",
        "cub::",
        "thrust::",
        "}}}}",
        "\x00\xff\u2028",
        "a" * 100_000,
        "(" * 20_000,
        'R"(' * 20_000,
        "/*" + " " * 100_000,
        "int a;" + "/" * 100_000,
        "int read(" * 5_000,
        "static f(" * 5_000,
        "at::x(1)\n" * 5_000,
        "#define X(a) a##a\n" + "X(b) " * 5_000,
    ],
)
def test_no_text_is_too_much_for_it(text):
    start = time.process_time()
    examine(module(top=text.replace('"""', "")))
    if text.count('R"') < 100:
        assert isinstance(list(Source(text).pasted()), list)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ('#pragma GCC optimize("Ofast")', ""),
        ('#pragma GCC optimize ("O3", "fast-math")', ""),
        ('__attribute__((optimize("unsafe-math-optimizations"))) void g() {}', ""),
        ("", 'asm volatile("ldmxcsr %0" : : "m"(n));'),
        ("", "_MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);"),
        ("#include <cfenv>", "std::fesetround(1);"),
    ],
)
def test_fast_arithmetic_is_refused(top, body):
    assert rules(top, body) & {"native-arithmetic", "native-call", "native-constructor"}


@pytest.mark.parametrize(
    ("top", "body"),
    [
        ('#pragma GCC optimize("O3", "unroll-loops")', ""),
        ("#pragma omp declare reduction(fast : float : omp_out += omp_in)", ""),
        ("", 'asm volatile("vfmadd231ps %ymm0, %ymm1, %ymm2");'),
        ("// optimize: fast for caches", ""),
    ],
)
def test_plain_arithmetic_is_not_refused(top, body):
    assert rules(top, body) == set()
