"""A graph on memory of its own: inputs are copied in, outputs are copied out."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.linear = nn.Linear(inner, outer)
        self.graphs = {}

    def forward(self, x):
        if x.shape not in self.graphs:
            own = x.clone()
            for _ in range(3):
                self.linear(own)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                out = self.linear(own)
            self.graphs[x.shape] = graph, own, out
        graph, own, out = self.graphs[x.shape]
        own.copy_(x)
        graph.replay()
        return out.clone()
