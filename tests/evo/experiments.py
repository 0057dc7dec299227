"""Texts of experiments."""

MINIMAL = '[problem]\npath = "problem.py"\n[budget]\nevaluations = 10\n'
FULL = (
    MINIMAL
    + """
[target]
device = "cpu"
threads = 3
[target.cpu]
workloads = ["a", "b"]
[target.cuda]
baselines = ["eager"]
[seeds]
cpp = "seed.py"
triton = "inductor"
[search]
edits = 2
selection = "best"
[operators.weights]
hoist = 0.5
"""
)
MODELS = """
[[models]]
name = "local"
base_url = "http://localhost:8000/v1"
price_out = 2.5
temperature = 0.7

[[models]]
name = "people"
provider = "exchange"
directory = "answers"
command = ["cat"]
"""
