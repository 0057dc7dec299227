"""How fast evo itself is: what one candidate costs beyond its own work, and how soon work begins.

Nothing is replaced here: the store, the loop, the pool, the judges and the confinement are those of
a real run. Only the problem (adding 64 numbers), the kernel (that sum in torch) and the operator
(it renumbers the kernel) cost next to nothing, so that what is left is evo's own.

    python -m benchmarks all
"""
