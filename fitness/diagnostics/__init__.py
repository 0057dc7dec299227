"""What an engineer would look at: why a kernel is slow, or in what way it is wrong.

Nothing in here decides anything. Part of it comes from the candidate's own process, so all of it is
shown and none of it is judged by; it is found out between the stages that are timed.

wrong kernels
    places.py          where wrong elements lie: tails, edges of tiles, one head, every k-th
    relations.py       how wrong values follow from right ones: a factor, transposed, never written
    narrow.py          a smaller shape that fails as well
C++
    vectorisation.py   the compiler's report on loops, condensed
    assembly.py        what the innermost loops are made of: vectors, products, spills
    compiled.py        obtains both, in a confined process, kept by content
CUDA
    device.py          limits of a multiprocessor; occupancy
    loaded.py          what Triton's compiled kernels say of themselves, asked in the candidate
    resources.py       the same believed as far as it is plausible; the difference to a parent
    ptxas.py           resource figures from nvcc, ptxas and cuobjdump
    ncu.py             Nsight Compute's tables as counters
    traces.py          the torch profiler's record as counters
elites
    profiles.py        a profile condensed: whose time it is, what was reached of the device
all
    bottleneck.py      counters -> one class of bottleneck with its evidence
    hook.py            what a judge calls
    summary.py         an evaluation's diagnostics as text, beside its parent's
"""
