"""Measure landscapes: every launch-parameter point of a lattice of structural variants.

    plans     which problems, which edits, which parameter values
    lattice   edits to variants, variants to points
    child     the confined process that builds, checks and times many points
    batch     its owner: builds in parallel, times one at a time, pairs with a baseline
    records   the append-only file of results
    pack      that file as the compressed table that is shipped

`python -m benchmarks.landscape measure conv1d --device cuda --out FILE`
"""
