"""Language models as operators: what they are asked, how they are asked, what becomes of answers.

- `settings`, `providers`: one model of an experiment file, and who answers for it.
- `answerer`: the one interface by which a prompt becomes an answer; `client` (OpenAI's chat),
  `batch` (its Batch API), `exchange` (files), `command` (a program), `fake` (a script).
- `desk`: the dialogues under way; `spending`: what they may cost.
- `operators`, `registry`: the operators, each one class; `talk`: the dialogue that they share.
- `prompts`: the templates. `context`, `parts`, `history`, `memory`, `angles`: what fills them.
- `parse`, `blocks`, `diffs`: kernels and edits out of answers.
- `keys`, `fence`: what must not leave a client; what must not leave its place in a prompt.

Nothing here builds or runs a kernel. Heavy packages are imported where they are used.
"""
