"""Sweeps of the search itself: an Optuna study whose trials are whole runs, several seeds each.

    settings    the sweep file, read strictly
    space       what is varied: from a sweep file to Optuna's distributions and back to `--set`
    study       the study: where it is kept, who works at which trial, what becomes of one whose
                worker died
    runs        one run in a process of its own, and what it reached
    worker      takes trials, one after the other, until none is left
    statistics  medians, bootstrap intervals, comparisons
    report      what a sweep found, as a page

Optuna is imported when a command is carried out, not before.
"""

# What Python is given before the arguments of a run.
RUN = ("-m", "evo.run")
