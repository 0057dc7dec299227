"""The operators that ask a language model: each one class, one template, one way to read answers.

draft.py       a first kernel, from the problem alone
rewrite.py     the parent again, with another structure
edit.py        one improvement, as search/replace blocks
crossover.py   one kernel of two parents' techniques
repair.py      a kernel that failed, mended
explain.py     what bounds the parent, then the change that follows from it
simplify.py    the parent, shorter and plainer
translate.py   the parent in another language
base.py        what they share
"""
