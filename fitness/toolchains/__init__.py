"""What turns a candidate's source into something that runs: one toolchain per language.

toolchain.py   the interface, and what a build ends in
registry.py    which toolchain is for which language
cpp.py         C++ in strings: compiled beforehand in a confined process, cached by content
python.py      Python and Triton: their own compilers run in the candidate's process, so only
               the syntax is checked here
"""
