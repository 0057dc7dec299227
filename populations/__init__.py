"""Who lives: kernels, what became of them, and where they come from.

- `populations.kernel`: `Candidate`, a proposed kernel, and `Kernel`, a judged one.
- `populations.outcome`: `Outcome` and `Evaluation`, what judging produced.
- `populations.parameters`: launch parameters marked in a source by `# tune:` or `// tune:`.
- `populations.source`: where C++ lives inside a candidate.
- `populations.policies`: who lives and who becomes a parent, behind one interface; made of
  `populations.fitness`, `populations.selection` and `populations.archive`: DEAP's fitness, who is
  drawn, and who stays in a population.
- `populations.statistics`: who is champion, whatever the policy.
- `populations.estimates` and `populations.pooling`: who is measured again, and what several
  measurements say together.
- `populations.lineage`: the ancestry as a networkx graph.
- `populations.store`: `run.db`, where everything is kept the moment it is known; its
  `populations.queries` for lists of any length, its `populations.migrations` for older files.
- `populations.errors`: the tree of exceptions.

Imports nothing else of this project.
"""
