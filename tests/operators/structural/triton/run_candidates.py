"""Runs candidates of the conv1d problem in a process of its own: `python run_candidates.py KIND`.

Reads a JSON object of sources from standard input and answers with one of results. KIND "values"
runs each in Triton's interpreter and gives its greatest error beside a float64 reference; KIND
"compile" compiles each for a Hopper GPU, without one, and gives the bytes of its machine code.
"""

import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

if sys.argv[1] == "values":
    os.environ["TRITON_INTERPRET"] = "1"

import torch
from torch.nn import functional

CHANNELS, TAPS = 24, 3


def load(source, folder, number):
    path = Path(folder) / f"candidate_{number}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ModelNew(CHANNELS, CHANNELS, TAPS)


def error(model, dtype, length):
    model = model.to(dtype)
    x = torch.randn(3, CHANNELS, length).to(dtype)
    weight, bias = model.weight.double(), model.bias.double()
    want = functional.conv1d(x.double(), weight, bias, padding=TAPS // 2)
    with torch.no_grad():
        return ((model(x).double() - want).norm() / want.norm()).item()


def values(model):
    """Relative errors in float16, with rows longer and shorter than a tile, and in float32."""
    cases = ((torch.float16, 70), (torch.float16, 10), (torch.float32, 40))
    return [error(model, *case) for case in cases]


def compiled(model):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime.jit import JITFunction

    class Driver:
        def get_current_target(self):
            return GPUTarget("cuda", 90, 32)

        def get_current_device(self):
            return 0

        def get_current_stream(self, device):
            return device

    triton.runtime.driver.set_active(Driver())
    sizes = []
    run = JITFunction.run

    def compile_only(self, *args, warmup, **options):
        sizes.append(len(run(self, *args, warmup=True, **options).asm["cubin"]))

    JITFunction.run = compile_only
    try:
        model.half()(torch.zeros(16, CHANNELS, 200, dtype=torch.float16))
    finally:
        JITFunction.run = run
    return sizes


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    ask = {"values": values, "compile": compiled}[sys.argv[1]]
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        for number, (name, source) in enumerate(json.load(sys.stdin).items()):
            try:
                answers[name] = ask(load(source, folder, number))
            except Exception as fault:  # noqa: BLE001 - a candidate may do anything; it is reported
                answers[name] = f"{type(fault).__name__}: {fault}"[-600:]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
