"""The search and its commands: `evo run`, `evo check`, `evo bench`, `evo report`.

Start reading at `evo.search`, the loop; `evo.run` puts its parts together; `evo.config` is the
experiment file.
"""

__version__ = "0.1.0"
