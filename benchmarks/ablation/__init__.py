"""Compare policies by whole searches over measured landscapes, at equal numbers of evaluations.

    arms     what is compared: settings, and two ends that are no search
    runs     one search in this process, and what it had found after each evaluation
    pool     many of them at once
    results  the file of runs, and the numbers that follow from it
    figure   anytime curves as SVG
    report   docs/ablation.md

`python -m benchmarks.ablation run`
"""
