"""A problem's reference expressed by other operations of the library, mechanically.

Each replacement computes the same function in another way, with the accuracy that float32 allows:
a linear layer as a product and a sum, a convolution as a product of unfolded windows, a softmax by
its parts, an activation by its definition.
"""

from __future__ import annotations

import ast

_FUNCTIONS = {
    "torch.matmul": "_matmul",
    "torch.mm": "_matmul",
    "torch.bmm": "_matmul",
    "torch.relu": "_relu",
    "F.relu": "_relu",
    "torch.sigmoid": "_sigmoid",
    "F.sigmoid": "_sigmoid",
    "torch.softmax": "_softmax",
    "F.softmax": "_softmax",
    "torch.nn.functional.softmax": "_softmax",
    "torch.nn.functional.gelu": "_gelu",
    "F.gelu": "_gelu",
    "torch.nn.functional.relu": "_relu",
    "torch.nn.functional.softplus": "_softplus",
    "F.softplus": "_softplus",
    "torch.nn.functional.leaky_relu": "_leaky_relu",
    "F.leaky_relu": "_leaky_relu",
    "torch.logsumexp": "_logsumexp",
    "torch.mean": "_mean",
    "torch.nn.functional.mish": "_mish",
    "F.mish": "_mish",
}
_LAYERS = {
    "Linear": "_Linear",
    "Conv1d": "_Conv1d",
    "Conv2d": "_Conv2d",
    "LayerNorm": "_LayerNorm",
    "GroupNorm": "_GroupNorm",
    "ReLU": "_Relu",
    "Sigmoid": "_Sigmoid",
    "GELU": "_Gelu",
    "Softmax": "_Softmax",
}
_PRELUDE = """
def _matmul(a, b):
    if a.dim() == 2 and b.dim() == 2:
        return torch.einsum("ik,kj->ij", a, b)
    return a @ b


def _relu(x, inplace=False):
    return x.clamp(min=0)


def _sigmoid(x):
    return (1 + (-x).exp()).reciprocal()


def _softmax(x, dim=-1):
    powers = (x - x.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)


def _gelu(x, approximate="none"):
    if approximate == "tanh":
        inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1 + torch.tanh(inner))
    return 0.5 * x * (1 + torch.erf(x * 0.7071067811865476))


def _softplus(x):
    return x.clamp(min=0) + torch.log1p((-x.abs()).exp())


def _mish(x):
    return x * torch.tanh(_softplus(x))


def _leaky_relu(x, negative_slope=0.01, inplace=False):
    return torch.where(x > 0, x, x * negative_slope)


def _logsumexp(x, dim, keepdim=False):
    top = x.amax(dim, keepdim=True)
    found = (x - top).exp().sum(dim, keepdim=True).log() + top
    return found if keepdim else found.squeeze(dim)


def _mean(x, dim=None, keepdim=False):
    if dim is None:
        return x.sum() / x.numel()
    found = x.sum(dim, keepdim=keepdim)
    return found / (x.numel() // max(found.numel(), 1))


class _Linear(nn.Linear):
    def forward(self, x):
        out = torch.einsum("...k,jk->...j", x, self.weight)
        return out if self.bias is None else out + self.bias


class _Conv2d(nn.Conv2d):
    def forward(self, x):
        if self.groups != 1 or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(x)
        windows = nn.functional.unfold(
            x, self.kernel_size, self.dilation, self.padding, self.stride
        )
        out = self.weight.flatten(1) @ windows
        rows = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(
                x.shape[2:], self.padding, self.dilation, self.kernel_size, self.stride
            )
        ]
        out = out.unflatten(-1, rows)
        return out if self.bias is None else out + self.bias[:, None, None]


class _Conv1d(nn.Conv1d):
    def forward(self, x):
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(x)
        return nn.functional.conv2d(
            x.unsqueeze(2), self.weight.unsqueeze(2), self.bias, (1, self.stride[0]),
            (0, self.padding[0]), (1, self.dilation[0]), self.groups,
        ).squeeze(2)


class _LayerNorm(nn.LayerNorm):
    def forward(self, x):
        dims = tuple(range(-len(self.normalized_shape), 0))
        centred = x - x.mean(dims, keepdim=True)
        unit = centred * (centred.square().mean(dims, keepdim=True) + self.eps).rsqrt()
        unit = unit if self.weight is None else unit * self.weight
        return unit if self.bias is None else unit + self.bias


class _GroupNorm(nn.GroupNorm):
    def forward(self, x):
        parts = x.reshape(x.shape[0], self.num_groups, -1)
        centred = parts - parts.mean(-1, keepdim=True)
        unit = centred * (centred.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        shape = (1, -1, *[1] * (x.dim() - 2))
        return unit.reshape(x.shape) * self.weight.view(shape) + self.bias.view(shape)


class _Relu(nn.Module):
    def __init__(self, inplace=False):
        super().__init__()

    def forward(self, x):
        return _relu(x)


class _Sigmoid(nn.Module):
    def forward(self, x):
        return _sigmoid(x)


class _Gelu(nn.Module):
    def __init__(self, approximate="none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, x):
        return _gelu(x, self.approximate)


class _Softmax(nn.Module):
    def __init__(self, dim=None):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return _softmax(x, -1 if self.dim is None else self.dim)
"""


class _Rewriter(ast.NodeTransformer):
    def __init__(self) -> None:
        self.count = 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = ast.unparse(node.func)
        target = _FUNCTIONS.get(name)
        if name.startswith(("nn.", "torch.nn.")) and "functional" not in name:
            target = _LAYERS.get(name.rpartition(".")[2])
        if target is not None:
            self.count += 1
            node.func = ast.Name(target, ast.Load())
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == "Model":
            node.id = "ModelNew"
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        if node.name == "Model":
            node.name = "ModelNew"
        return node


def rewritten(text: str) -> str:
    """A candidate that computes a problem in another way; empty if nothing can be replaced."""
    rewriter = _Rewriter()
    tree = ast.fix_missing_locations(rewriter.visit(ast.parse(text)))
    if not rewriter.count:
        return ""
    return f"import torch\nfrom torch import nn\n{_PRELUDE}\n\n{ast.unparse(tree)}\n"
