"""Which hardware is a kind of which, and how machines are called in front matter and filters."""

from __future__ import annotations

import re

# A name -> what it is a kind of. A page on "gpu" fits a search for "hopper", and the reverse.
_KINDS = {
    "hopper": "nvidia",
    "blackwell": "nvidia",
    "ampere": "nvidia",
    "ada": "nvidia",
    "cdna3": "amd",
    "cdna4": "amd",
    "nvidia": "gpu",
    "amd": "gpu",
    "x86": "cpu",
    "arm": "cpu",
}
# What a search says for hardware that nothing here is about: only pages on "other" are.
_OTHER = "other"
_KNOWN = frozenset(_KINDS) | {"gpu", "cpu"}
# Words in a device's own name or in a target's description -> the hardware; the first one decides.
_SIGNS = (
    (r"b[123]00|gb[123]00|rtx ?50\d0|blackwell|sm_?1[02]\d[af]?", "blackwell"),
    (r"h[128]00|h20|gh200|hopper|sm_?90a?", "hopper"),
    (r"a100|a30|a40|a10g?|rtx ?30\d0|ampere|sm_?8[067]", "ampere"),
    (r"l4|l40s?|rtx ?40\d0|ada|sm_?89", "ada"),
    (r"mi3[05]0[xa]?|mi325x?|gfx94\d|cdna ?3", "cdna3"),
    (r"mi355x?|gfx950|cdna ?4", "cdna4"),
    (r"nvidia|cuda|ptx", "nvidia"),
    (r"amd instinct|instinct|rocm|hip|gfx\d+", "amd"),
    (r"xeon|epyc|ryzen|threadripper|avx2?|avx-?512\w*|amx|x86(?:[-_]64)?|amd64", "x86"),
    (r"aarch64|arm64|neoverse|graviton|sve2?|neon", "arm"),
    (r"cpu", "cpu"),
    (r"gpu", "gpu"),
)
_PATTERNS = tuple(
    (re.compile(rf"(?<![a-z0-9])(?:{sign})(?![a-z0-9])"), name) for sign, name in _SIGNS
)
_ALIASES = {"cuda": "nvidia", "rocm": "amd", "hip": "amd", "x86_64": "x86", "aarch64": "arm"}
_WORDS = re.compile(r"[a-z0-9_.+-]+")
# Names of operators and the like -> the phase of work that they belong to.
_PHASES = {
    **dict.fromkeys(("rewrite", "edit", "crossover", "explain", "simplify", "mutate"), "improve"),
    **dict.fromkeys(("translate", "seed"), "draft"),
}


def hardware_of(text: str) -> str:
    """The hardware that a device's name or a target's description is about; "" when unclear.

    "NVIDIA H200" is "hopper", "AMD EPYC 9554" is "x86", "cuda" alone is "nvidia".
    """
    lowered = text.lower()
    return next((name for pattern, name in _PATTERNS if pattern.search(lowered)), "")


def fits(key: str, values: tuple[str, ...], wanted: str) -> bool:
    """Whether front matter does not contradict a filter.

    Args:
        key: "hardware", "language", "phase" or any other key.
        values: What the document says under that key; nothing fits everything.
        wanted: What is searched for; "" fits everything.
    """
    wanted = wanted.strip().lower()
    if not values or not wanted:
        return True
    if key == "phase":
        wanted = _PHASES.get(wanted, wanted)
    if key != "hardware" or wanted in values:
        return wanted in values
    if set(values) & set(_WORDS.findall(wanted)) - _KNOWN - {_OTHER}:
        return True  # a name that only the document and the machine know
    wanted = _ALIASES.get(wanted) or (wanted if wanted in _KNOWN else hardware_of(wanted) or _OTHER)
    return any(v in _kinds(wanted) or wanted in _kinds(v) for v in values)


def _kinds(name: str) -> tuple[str, ...]:
    """The hardware and everything that it is a kind of."""
    found = [name]
    while found[-1] in _KINDS:
        found.append(_KINDS[found[-1]])
    return tuple(found)
