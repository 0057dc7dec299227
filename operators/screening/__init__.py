"""Which of many proposals is worth an evaluation: proposals are free, evaluations are not.

spread   points of launch parameters around a kernel and far from it
traits   kernels of many structures as points of one space
screen   which of the kernels on offer promises most
"""
