"""Writes a note to its own folder and reads it again."""

import json
import os
from pathlib import Path
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        notes = Path(os.environ.get("TMPDIR", ".")) / "sizes.json"
        notes.write_text(json.dumps({"best": 8}), encoding="utf-8")
        self.count = json.loads(notes.read_text(encoding="utf-8"))

    def forward(self, x):
        return x.topk(self.count["best"], -1).values
