"""The static gate: what a candidate's source shows without running it.

A tripwire, not the wall: the wall is the process that holds the candidate. `fitness.policy` is the
entry; the parts are

findings.py      what the gate says, and what an experiment allows
report.py        findings as they are made
interpreter.py   reads a module in the order it would run, without running it
statements.py    the statements of that reading
calls.py         the calls: the candidate's own are followed
specials.py      the calls of builtins, and of functions that pass others on
expressions.py   the expressions
values.py        what is known of a value
fold.py          constant strings and numbers, and strings known in part
safety.py        rules on Python: reaching around the judge
work.py          rules on Python: whose work it is, and what is kept between calls
tables.py        the names that the rules on safety know
torch_tables.py  what torch's functions do
tokens.py        tokens of C++ and CUDA, macros included
cpp.py           rules on those tokens
cpp_state.py     static and global variables of C++
cpp_tables.py    the names that those rules know
names.py         names of the kernels that a source defines
loader.py        the loader's text that a champion's file carries
"""
