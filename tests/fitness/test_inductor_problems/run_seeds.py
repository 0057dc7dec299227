"""Makes seeds and compares them with their references: `run_seeds.py DEVICE [THREADS:]FILE...`.

Run as a process of its own, which the tests start once. For the device "cuda" TorchInductor is
told that there is one, generates Triton kernels, and these run on CPU tensors in the interpreter.
"""

import contextlib
import importlib.util
import json
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch

from fitness.exchange import flatten
from fitness.inductor.generate import seed_source
from fitness.problem import Problem
from fitness.spec import EvaluationSpec

FACTS = {
    "type": "cuda",
    "index": 0,
    "name": "pretended",
    "cc": 90,
    "major": 9,
    "minor": 0,
    "multi_processor_count": 132,
    "regs_per_multiprocessor": 65536,
    "max_threads_per_multi_processor": 2048,
    "max_threads_per_block": 1024,
    "warp_size": 32,
    "total_memory": 1 << 37,
    "shared_memory_per_block_optin": 232448,
    "L2_cache_size": 50 << 20,
    "gcnArchName": "",
}


@contextlib.contextmanager
def pretended_device():
    """Let TorchInductor generate code for a GPU that is not there."""
    import torch._inductor.fx_passes.fuse_attention as attention
    import torch._inductor.fx_passes.misc_patterns as patterns
    import torch._inductor.fx_passes.pad_mm as padding
    import torch._subclasses.fake_tensor as fake
    import torch.utils._triton as support
    from torch._inductor.runtime.hints import DeviceProperties

    fields = {k: v for k, v in FACTS.items() if k in DeviceProperties._fields}
    nothing = {
        (attention, "_sfdp_init"): None,
        (patterns, "_misc_patterns_init"): None,
        (padding, "_pad_mm_init"): None,
        (fake, "init_gpu_context"): None,
        (support, "triton_hash_with_backend"): "none",
        (DeviceProperties, "create"): DeviceProperties(**fields),
        (torch._C, "_cuda_getDeviceCount"): 1,
        (torch.cuda, "is_available"): True,
        (torch.cuda, "current_device"): 0,
        (torch.cuda, "get_device_properties"): SimpleNamespace(**FACTS),
        (torch.cuda, "get_device_capability"): (9, 0),
        (torch.cuda, "get_rng_state"): torch.zeros(16, dtype=torch.uint8),
        (torch.cuda, "set_rng_state"): None,
        (torch.cuda, "_lazy_init"): None,
        (torch.cuda, "_exchange_device"): -1,
        (torch.cuda, "_maybe_exchange_device"): -1,
    }
    with contextlib.ExitStack() as stack:
        for (owner, name), value in nothing.items():
            answer = lambda *_, value=value: value  # noqa: E731 - one for each
            stack.enter_context(mock.patch.object(owner, name, answer, create=True))
        stack.enter_context(mock.patch.object(torch.version, "cuda", "12.8"))
        yield


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare(problem, module):
    """Relative errors of every output on every workload; inf where shape or dtype differ."""
    found = {}
    for workload in problem.workloads:
        inputs = problem.inputs(workload, seed=3)
        dtype = problem.shared_dtype(inputs)
        reference = problem.model(seed=5).to(dtype)
        # Seeded alike, a candidate without any state given must agree.
        arguments = problem.init_inputs(5)
        torch.manual_seed(5)
        candidate = module.ModelNew(*arguments).to(dtype)
        with torch.no_grad():
            tree, wanted = flatten(reference(*inputs))
            same_tree, got = flatten(candidate(*inputs))
        pairs = zip(wanted, got, strict=True)
        errors = [
            float((a.double() - b.double()).norm() / (a.double().norm() + 1e-9))
            if (a.shape, a.dtype) == (b.shape, b.dtype)
            else float("inf")
            for a, b in pairs
        ]
        state = zip(reference.state_dict().items(), candidate.state_dict().items(), strict=True)
        errors += [
            float((a[1].double() - b[1].double()).norm()) if a[0] == b[0] else float("inf")
            for a, b in state
        ]
        found[workload] = errors if tree == same_tree else [float("inf")]
    return found


def one(path, device, threads, folder):
    spec = EvaluationSpec(problem=path, cache_dir=folder, device=device, threads=threads)
    try:
        with pretended_device() if device == "cuda" else contextlib.nullcontext():
            source = seed_source(spec)
        target = folder / f"{path.stem}_{device}.py"
        target.write_text(source)
        checks = compare(Problem(path), load(target, f"seed_{path.stem}"))
    except Exception:  # noqa: BLE001 - the test shows it
        return {"error": traceback.format_exc()}
    return {"source": source, "checks": checks}


def main():
    warnings.simplefilter("ignore")
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        for item in sys.argv[2:]:
            threads, _, name = item.rpartition(":")
            torch.set_num_threads(int(threads or 1))
            path = Path(name)
            answers[path.stem] = one(path, sys.argv[1], int(threads or 1), Path(folder))
    print(f"\n{json.dumps(answers)}")


if __name__ == "__main__":
    main()
