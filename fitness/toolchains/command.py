"""The confined child that becomes a compiler."""

from __future__ import annotations

import os
from typing import Any

from fitness.sandbox.channel import Channel

# The compiler finds its parts by PATH; messages in English, whoever runs it.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")


def run(channel: Channel, argument: dict[str, Any]) -> None:
    """Become `argument["command"]` in `argument["folder"]`; does not return."""
    channel.close()
    os.chdir(argument["folder"])
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    command = argument["command"]
    os.execve(command[0], command, {**environment, "LC_ALL": "C"})
