"""How new kernels arise.

An operator takes judged kernels and proposes the text of a new one; `operators.operator` holds the
one interface. Nothing here builds or runs a kernel.

- `operators.structural.cpp`: edits of the syntax tree of C++ with OpenMP (tree-sitter).
- `operators.structural.triton`: edits of the syntax tree of Triton modules (LibCST).
- `operators.merge`: crossover, a three-way merge over the nearest common ancestor.
- `operators.tuning`: launch parameters of survivors by Optuna.
- `operators.dialogue`, `operators.llm`: operators that ask a language model.
- `operators.knowledge`: what such a model is told beside the problem.
- `operators.credit`: which operator to use next.
- `operators.registry`: all of them, by name.

Imports only `populations`.
"""
