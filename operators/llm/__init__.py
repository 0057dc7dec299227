"""Language models as operators: what they are asked, how they are asked, what becomes of answers.

- `operators.llm.settings`: one model of an experiment file.
- `operators.llm.answerer`: the one interface by which a prompt becomes an answer.

Nothing here builds or runs a kernel. Heavy packages are imported where they are used.
"""
