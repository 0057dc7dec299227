"""The templates of all prompts: one Markdown file each, beside this module.

`{name}` in a template is a place to fill; names are lower-case words. Other braces are text, so
code can stand in a template and in what it is filled with.
"""

from __future__ import annotations

import re
from functools import cache

_PLACE = re.compile(r"\{([a-z_]+)\}")


# How prompts call a language.
_SPOKEN = {"cpp": "C++", "triton": "Triton", "python": "Python with operations of torch"}


def spoken(language: str) -> str:
    """How prompts call a language, "C++" for "cpp"."""
    return _SPOKEN.get(language, language)


@cache
def template(name: str) -> str:
    """The text of a template. Raises FileNotFoundError when there is none of that name."""
    from importlib import resources

    text = resources.files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def places(name: str) -> frozenset[str]:
    """The names of the places that a template has."""
    return frozenset(_PLACE.findall(template(name)))


def fill(name: str, **values: str) -> str:
    """A template with its places filled.

    In one pass: braces in what is filled in stay as they are. Raises KeyError for a place that is
    left without a value.
    """
    return _PLACE.sub(lambda match: values[match[1]], template(name))
