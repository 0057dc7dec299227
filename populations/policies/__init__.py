"""Who lives and who becomes a parent: policies, each about a page, behind one interface.

- `populations.policies.policy`: `Policy`, the interface, and `Change`, what becomes an event.
- `populations.policies.steady`: one population in a steady state, parents by a selection.
- `populations.policies.islands`: several that grow apart, with migrants and fresh starts.
- `populations.policies.map_elites`, `.descriptors`, `.arrays`: the best kernel of every kind.
- `populations.policies.mcts`: tree search by UCT over the lineage.
- `populations.policies.beam`: the best few of each generation.
- `populations.policies.greedy`: the best alone.
- `populations.policies.nsga2`: who is not dominated over the workloads.
- `populations.policies.control`: random choice, which all others have to beat.

`docs/search.md` says what each is for; `evo.policies` makes them of an experiment's keys.

Beside the policy, `populations.statistics.Progress` keeps the champion for all of them.
"""
