"""OpenEvolve (Apache-2.0, PyPI `openevolve`) on the same measured tables; see README.md.

operators   what both sides propose by: one operator drawn evenly, no memory
server      answers OpenEvolve's questions to a model with a child of those operators
evaluation  the file that OpenEvolve evaluates by: it asks a table
driver      starts OpenEvolve, in an environment of its own
ours        our own search with the same operators, drawn as evenly
"""
