"""What a function of torch does: computes, calls a library, allocates, or only asks."""

from __future__ import annotations

# Products, convolutions, attention, recurrent cells: what torch hands to a library.
LIBRARY = frozenset(
    {"mm", "bmm", "matmul", "addmm", "baddbmm", "addbmm", "mv", "addmv", "addr", "dot", "vdot"}
    | {"inner", "einsum", "tensordot", "chain_matmul", "multi_dot", "linear", "bilinear", "_int_mm"}
    | {"_scaled_mm", "scaled_mm", "_grouped_mm", "grouped_mm", "_addmm_activation", "spmm", "hspmm"}
    | {"sspaddmm", "smm", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"}
    | {"conv_transpose3d", "conv_tbc", "convolution", "_convolution", "convolution_overrideable"}
    | {"convolution_backward", "scaled_dot_product_attention", "multi_head_attention_forward"}
    | {"_scaled_mm_v2", "_weight_int4pack_mm", "_weight_int8pack_mm", "matrix_power", "matrix_exp"}
    | {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "linalg"}
    | {"rnn_relu_cell", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "flex_attention", "stft"}
    | {"istft", "__matmul__", "__rmatmul__", "bias_addmm", "_linear_pointwise", "_mm_plus_mm"}
    | {"mkldnn_rnn_layer", "_convolution_pointwise", "_scaled_dot_product_flash_attention"}
    | {"_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"}
    | {"_scaled_dot_product_attention_math", "_scaled_dot_product_flash_attention_for_cpu"}
    | {"_flash_attention_forward", "_efficient_attention_forward", "_addmm_activation"}
)
LIBRARY_PREFIXES = ("cudnn_", "miopen_", "mkldnn_", "_cudnn", "_flash_", "_cslt", "cslt_")
LIBRARY_MODULES = frozenset(
    {"Linear", "Bilinear", "LazyLinear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d"}
    | {"ConvTranspose2d", "ConvTranspose3d", "LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"}
    | {"MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerEncoderLayer"}
    | {"TransformerDecoder", "TransformerDecoderLayer", "LazyConv1d", "LazyConv2d", "LazyConv3d"}
)
# Allocation, views, layout and casts: a tensor, and nothing computed.
LAYOUT = frozenset(
    {"empty", "empty_like", "empty_strided", "empty_permuted", "zeros", "zeros_like", "ones"}
    | {"ones_like", "full", "full_like", "new_empty", "new_zeros", "new_ones", "new_full", "new"}
    | {"new_tensor", "new_empty_strided", "tensor", "as_tensor", "asarray", "from_numpy"}
    | {"frombuffer", "from_dlpack", "scalar_tensor", "arange", "linspace", "eye", "view", "view_as"}
    | {"reshape", "reshape_as", "_reshape_alias", "permute", "transpose", "transpose_", "t", "t_"}
    | {"swapaxes", "swapdims", "movedim", "moveaxis", "unsqueeze", "unsqueeze_", "squeeze"}
    | {"squeeze_", "expand", "expand_as", "broadcast_to", "broadcast_tensors", "flatten"}
    | {
        "unflatten",
        "ravel",
        "narrow",
        "select",
        "slice",
        "split",
        "chunk",
        "unbind",
        "tensor_split",
    }
    | {
        "split_with_sizes",
        "hsplit",
        "vsplit",
        "as_strided",
        "as_strided_",
        "diagonal",
        "contiguous",
    }
    | {"clone", "copy_", "to", "type", "type_as", "float", "half", "double", "bfloat16", "int"}
    | {"long", "bool", "short", "char", "byte", "cpu", "cuda", "detach", "detach_", "fill_"}
    | {"requires_grad_", "zero_", "set_", "resize_", "resize_as_", "view_as_real", "adjoint"}
    | {"view_as_complex", "pin_memory", "atleast_1d", "atleast_2d", "atleast_3d", "Tensor"}
    | {"Parameter", "Buffer", "UninitializedParameter", "_to_copy", "convert_element_type"}
    | {"rand", "randn", "randint", "randperm", "normal", "record_stream", "numpy", "real", "imag"}
    | {"FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "get_buffer", "get_parameter"}
    | {"reinterpret_tensor", "_reinterpret_tensor", "alloc_from_pool", "empty_strided_cpu"}
    | {"empty_strided_cuda", "_empty_strided", "_empty_strided_cuda", "memory_format", "align_to"}
    | {"rename", "refine_names", "mT", "mH", "unfold_copy", "_unsafe_view", "alias", "lift_fresh"}
)
# Questions: what comes back is no tensor.
SIZES = frozenset(("size", "numel", "nelement", "dim", "ndimension", "__len__", "element_size"))
QUESTIONS = frozenset(
    {"stride", "storage_offset", "data_ptr", "is_contiguous", "is_floating_point", "is_complex"}
    | {"get_device", "item", "tolist", "untyped_storage", "storage", "is_tensor", "device", "finfo"}
    | {"iinfo", "promote_types", "result_type", "can_cast", "is_grad_enabled", "no_grad", "Size"}
    | {"inference_mode", "enable_grad", "set_grad_enabled", "get_default_dtype", "get_num_threads"}
    | {"manual_seed", "Generator", "seed", "initial_seed", "broadcast_shapes", "_assert", "_check"}
    | {"is_storage", "is_inference_mode_enabled", "is_pinned", "is_shared", "share_memory_"}
    | {"set_default_dtype", "set_num_threads", "set_float32_matmul_precision", "set_printoptions"}
    | {"get_float32_matmul_precision", "register_hook", "backward", "is_inference"}
    | {"is_autocast_enabled", "autocast", "set_default_device", "Stream", "Event", "dtype"}
    | {"use_deterministic_algorithms", "is_conj", "is_neg", "is_nonzero", "__class__", "layout"}
    | {"get_autocast_dtype", "get_autocast_gpu_dtype", "is_signed", "dense_dim", "sym_int"}
    | {"_is_view", "_base", "__cuda_array_interface__", "__dlpack__", "_check_is_size", "typename"}
)
# Parts of torch whose functions compute on tensors, longest first.
COMPUTING = (
    "torch.nn.functional.",
    "torch._C._VariableFunctions.",
    "torch._C._nn.",
    "torch._C._special.",
    "torch.ops.aten.",
    "torch.ops.prims.",
    "torch.ops.quantized.",
    "torch.ops.mkldnn.",
    "torch.ops.mkl.",
    "torch.ops.onednn.",
    "torch._VF.",
    "torch.special.",
    "torch.sparse.",
    "torch.masked.",
    "torch.nested.",
    "torch.signal.",
    "torch.functional.",
    "torch.Tensor().",
    "torch.Tensor.",
    "torch._prims.",
    "torch._refs.",
    "torch._inductor.select_algorithm.extern_kernels.",
    "torch._inductor.",
    "torch.linalg.",
    "torch.fft.",
    "torch._C._linalg.",
    "torch._C._fft.",
)
LIBRARY_PARTS = ("torch.linalg.", "torch.fft.", "torch._C._linalg.", "torch._C._fft.")
# Packages that compute: a call of them in `forward` is a library's work.
LIBRARY_PACKAGES = frozenset(
    {"flash_attn", "xformers", "flashinfer", "deep_gemm", "transformer_engine", "apex", "torchao"}
    | {"liger_kernel", "fbgemm_gpu", "vllm", "sgl_kernel", "cudnn", "tensorrt", "torch_tensorrt"}
    | {"scipy", "jax", "mkl", "onednn", "tinygrad", "tensorflow", "nvmath", "cuml", "sklearn"}
    | {"torchvision", "torchaudio", "mamba_ssm", "causal_conv1d", "kernels", "fla", "cublas"}
)
ARRAY_PACKAGES = frozenset(("numpy", "cupy", "numexpr", "pandas"))
# What makes a kernel of the candidate's own out of a function or a text.
KERNEL_DECORATORS = frozenset(
    {"triton.jit", "triton.autotune()", "triton.heuristics()", "triton.runtime.jit.jit"}
    | {"triton.runtime.autotuner.autotune()", "triton.experimental.gluon.jit", "numba.cuda.jit()"}
    | {"cutlass.cute.jit", "cutlass.cute.kernel", "cute.jit", "cute.kernel", "tilelang.jit()"}
    | {"numba.njit", "numba.njit()", "numba.jit", "numba.jit()", "numba.cuda.jit", "tilelang.jit"}
    | {"triton.jit()", "helion.kernel", "helion.kernel()", "warp.kernel", "cupyx.jit.rawkernel()"}
)
KERNEL_TEXTS = frozenset(
    {"fitness.native.load_cpp", "torch.utils.cpp_extension.load_inline", "cupy.RawKernel"}
    | {"cupy.RawModule", "torch.cuda._compile_kernel", "torch.utils.cpp_extension.load"}
    | {"cupy.ElementwiseKernel", "cupy.ReductionKernel", "torch.cuda.jiterator._create_jit_fn"}
)
GRAPHS = frozenset(
    {"torch.cuda.CUDAGraph", "torch.cuda.graph", "torch.cuda.make_graphed_callables"}
    | {"torch.cuda.graphs.CUDAGraph", "torch.cuda.graphs.graph", "torch.cuda.CUDAGraph().replay"}
    | {"torch.cuda.graphs.make_graphed_callables"}
)
COMPILERS = frozenset(
    {"torch.compile", "torch.jit.script", "torch.jit.trace", "torch.jit.optimize_for_inference"}
    | {
        "torch._dynamo.optimize",
        "torch.export.export",
        "torch._inductor.compile",
        "torch.jit.freeze",
    }
    | {"torch._inductor.aot_compile", "torch.fx.symbolic_trace"}
)
CACHES = frozenset(
    {"functools.lru_cache", "functools.cache", "functools.cached_property", "functools.lru_cache()"}
    | {"torch.utils.weak.WeakTensorKeyDictionary", "weakref.WeakKeyDictionary"}
    | {"weakref.WeakValueDictionary"}
)


def kind(path: str) -> str:
    """What a function of torch does.

    Returns "library", "compute", "layout" (a tensor comes back), "size", "question" (something
    else comes back) or "" when it is none of torch's functions on tensors.
    """
    for part in COMPUTING:
        if path.startswith(part):
            name = path[len(part) :].partition(".")[0]
            return _named(name, path.startswith(LIBRARY_PARTS))
    if path.startswith("torch.nn.") and ("()" in path or path.startswith("torch.nn.Parameter")):
        return _module(path)
    if not path.startswith("torch.") or "." in path[6:] or path.endswith(")"):
        return ""
    name = path[6:]
    if name[:1].isupper() and name not in LAYOUT:
        return ""
    return _named(name, library=False)


def _named(name: str, library: bool) -> str:
    name = name.partition("(")[0]
    if name in SIZES:
        return "size"
    if name in QUESTIONS:
        return "question"
    if name in LAYOUT or name == "__getitem__":
        return "layout"
    plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
    if library or plain in LIBRARY or name.startswith(LIBRARY_PREFIXES):
        return "library"
    return "compute"


def _module(path: str) -> str:
    """A call of a module made of `torch.nn`, or of its `forward`."""
    name, _, rest = path.removeprefix("torch.nn.").partition("()")
    name = name.rpartition(".")[2]
    if name == "Parameter" and not rest:
        return "layout"
    if rest not in ("", ".forward", ".__call__"):
        return "layout" if rest in (".weight", ".bias") else "question"
    return "library" if name in LIBRARY_MODULES else "compute"
