"""What a kernel is worth: built, confined, checked against a float64 reference, timed in pairs.

A candidate goes through the stages in this order, and the first that fails decides its outcome:

1. `fitness.policy`: the static gate reads the source.
2. `fitness.toolchains`: a toolchain builds it, cached by content.
3. `fitness.runner` in `fitness.sandbox`: a confined, disposable process holds the candidate.
4. `fitness.correctness`: the judge compares its outputs with a float64 reference.
5. `fitness.timing`: its calls alternate with the fastest baseline's.

`fitness.judge` runs the stages, `fitness.pool` runs judges, `fitness.problem` reads the problem and
`fitness.spec` says how to do all of it. `fitness.native` is the loader that candidates in C++ use.
Imports only `populations`.
"""
