"""Measured landscapes: tables of real timings that stand in for a device.

    table       what was measured, and its file
    evaluator   an `Evaluator` that answers from a table

How they are measured: `benchmarks.landscape`. What they can stand for: docs/landscapes.md.
"""
