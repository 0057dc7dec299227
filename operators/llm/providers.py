"""Chooses who answers for a model of the experiment."""

from __future__ import annotations

from pathlib import Path

from operators.llm.answerer import Answerer
from operators.llm.settings import ModelSettings


def answerer(settings: ModelSettings, *, run_directory: Path) -> Answerer:
    """Make the client of one model. Nothing is asked, written or started by that.

    Args:
        settings: The model's.
        run_directory: Where an exchange without a directory of its own and the list of batches go.

    Raises:
        ConfigError: A key is missing, or an address or a command cannot be used.
        StoreError: The run's list of batches cannot be read.
    """
    if settings.provider == "openai":
        from operators.llm.client import ChatClient

        return ChatClient(settings)
    if settings.provider == "batch":
        from operators.llm.batch import BatchClient

        return BatchClient(settings, directory=run_directory / "batches")
    if settings.command:
        from operators.llm.command import Command

        return Command(settings)
    from operators.llm.exchange import Exchange

    return Exchange(settings, directory=settings.directory or run_directory / "exchange")
