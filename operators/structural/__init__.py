"""Operators that edit the syntax tree of a kernel, one package per language."""
