"""TorchInductor, asked for the code of a graph and stopped before it compiles it."""

from __future__ import annotations

import math
import re
import sys
from typing import Any
from unittest import mock

import torch
from torch._inductor import config
from torch._inductor.codegen.cpp import CppKernel
from torch._inductor.compile_fx import compile_fx
from torch._inductor.graph import GraphLowering
from torch._inductor.virtualized import V
from torch._subclasses import FakeTensor

from fitness.inductor.wrapper import UntranslatableError
from fitness.spec import EvaluationSpec

# Terms up to which a sum of float32 is taken in float32.
SHORT_SUM = 4096
# Constants of a graph are written into the candidate; larger ones have no place in a text.
CONSTANT_LIMIT = 4096


def constants(module: torch.fx.GraphModule) -> tuple[str, ...]:
    """Tensors that the graph holds itself, as expressions, in the order in which code takes them.

    Raises UntranslatableError for tensors too large to be written down.
    """
    held = dict((*module.named_parameters(), *module.named_buffers()))
    used = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    if not used <= set(held):
        raise UntranslatableError("Model.forward uses a submodule that is not a part of Model")
    found = []
    for tensor in held.values():
        # A fake tensor may remember what it was made from.
        value = getattr(tensor, "constant", None) if isinstance(tensor, FakeTensor) else tensor
        if value is None or value.numel() > CONSTANT_LIMIT:
            raise UntranslatableError(
                "Model.forward uses a large tensor that is neither state nor an input"
            )
        numbers = re.sub(r"\b(nan|inf)\b", r"float('\1')", repr(value.detach().cpu().tolist()))
        place = "" if tensor.device.type == "cpu" else f", device={str(tensor.device)!r}"
        found.append(f"torch.tensor({numbers}, dtype={value.dtype}{place})")
    return tuple(found)


def generated_code(
    module: torch.fx.GraphModule, inputs: list[torch.Tensor], spec: EvaluationSpec
) -> str:
    """The module that TorchInductor generates for a graph; nothing is compiled or run.

    Args:
        module: The graph.
        inputs: Fake tensors for its inputs.
        spec: The device's and threads' part of the settings.

    Raises UntranslatableError when there is not one module for the whole graph.
    """
    codes: list[str] = []

    class Nothing:
        """Stands for the compiled module; is never called."""

        def call(self, args: Any) -> Any:
            raise NotImplementedError

    def keep(lowering: GraphLowering) -> Any:
        code, _ = lowering.codegen()
        codes.append(code.value)
        return Nothing()

    with (
        mock.patch.object(GraphLowering, "compile_to_module", keep),
        mock.patch.object(CppKernel, "need_use_acc_helper", _is_long_sum, create=True),
        config.patch(_settings(spec)),
        torch.no_grad(),
    ):
        compile_fx(module, inputs)
    if len(codes) != 1:
        raise UntranslatableError(f"TorchInductor generated {len(codes)} modules instead of one")
    return codes[0]


def _is_long_sum(kernel: Any, reduction_type: str, dtype: torch.dtype, use_scalar: bool) -> bool:
    """Whether a sum needs more than float32's precision, taken as true where its length varies.

    TorchInductor's own answer depends on the length alone and would make every length that is on
    the other side of the limit a case for a graph of its own.
    """
    del use_scalar
    if reduction_type == "welford_reduce":
        return True
    if reduction_type != "sum" or dtype != torch.float32:
        return False
    length = math.prod(kernel.call_ranges[kernel.reduction_depth :])
    return not V.graph.sizevars.statically_known_true(length <= SHORT_SUM)


def _settings(spec: EvaluationSpec) -> dict[str, Any]:
    """TorchInductor's settings, as far as this version has them."""
    alone = spec.threads == 1
    wanted = {
        "force_disable_caches": True,
        "fx_graph_cache": False,
        # Loops over scalars: no vector types of torch's.
        "cpp.simdlen": 1,
        # Code that does not depend on the number of threads, or has no threads at all.
        "cpp.threads": spec.threads,
        "cpp.dynamic_threads": not alone,
        "cpp.weight_prepack": False,
        # Convolutions in the layout of their inputs: plain loops are slow at changing it. On a GPU
        # TorchInductor may choose.
        "layout_optimization": spec.device != "cpu",
        # Variances by two sums, the plain way.
        "cpp.use_two_step_variance_threshold": sys.maxsize,
        "freezing": False,
        # Random numbers and checks of indices as torch does them, not by helpers of its own.
        "fallback_random": True,
        "assert_indirect_indexing": False,
        # Nothing is measured: there may be no device, and no contents.
        "shape_padding": False,
        "max_autotune": False,
        "max_autotune_gemm": False,
        "triton.autotune_at_compile_time": False,
        "benchmark_kernel": False,
        "coordinate_descent_tuning": False,
        # One kernel a launch, launched on a plain grid.
        "combo_kernels": False,
        "triton.mix_order_reduction": False,
        "triton.cooperative_reductions": False,
        "graph_partition": False,
        "size_asserts": True,
        "cpp_wrapper": False,
    }
    known = set(config.get_config_copy())
    return {name: value for name, value in wanted.items() if name in known}
