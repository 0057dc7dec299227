"""Who lives and who becomes a parent: policies, each about a page, behind one interface.

- `populations.policies.policy`: `Policy`, the interface, and `Change`, what becomes an event.
- `populations.policies.steady`: one population in a steady state, parents by a selection.

Beside the policy, `populations.statistics.Progress` keeps the champion for all of them.
"""
