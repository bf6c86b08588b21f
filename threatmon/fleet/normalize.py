"""What is a stack's own in any text: its name, account and Region, and the ids of what AWS and Pulumi named for it."""

import re
from collections.abc import Callable, Sequence

from threatmon.fleet.changes import StackPreview

Normalise = Callable[[str], str]

# Where no letter or digit comes next.
_END = r"(?![^\W_])"


def _word(text: str) -> str:
    """A pattern of the text where it begins a word, or follows a slash as the console's links spell it.
    Patterns that begin with a letter are searched for the fastest."""
    first = re.escape(text[0])
    return rf"{first}(?:(?<![^\W_]{first})|(?<=\*2f{first})){re.escape(text[1:])}"


# Ids of EC2 resources, keys and detectors, and the seven hex digits Pulumi ends a name in:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
# https://www.pulumi.com/docs/iac/concepts/resources/names/#autonaming
_HEX = "[0-9a-f]"
_IDS = [
    (re.compile(rf"(?:{_word(kind)})-(?:{_HEX}{{17}}|{_HEX}{{8}}){_END}"), f"<{kind}>")
    for kind in ("subnet", "vpc", "eni", "fl", "sg")
] + [
    (re.compile(rf"{_HEX}(?<![^\W_].)(?:{_HEX}{{7}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}|{_HEX}{{31}}){_END}"), "<id>"),
    (re.compile(rf"-(?<=[^\W_]-){_HEX}{{7}}{_END}"), "-<random>"),
]


def normalisers(previews: Sequence[StackPreview]) -> dict[str, Normalise]:
    """Stack -> what puts ``<stack>``, ``<account>``, ``<region>``, ``<subnet>``... for its own words in a text.

    Only whole words count: a stack ``a`` leaves ``data`` alone, and a stack ``prod`` leaves the name of the stack
    ``prod-eu`` alone.
    """
    names = {it.stack for it in previews}
    found: dict[str, Normalise] = {}
    for preview in previews:
        # Where a stack is named like its Region, it is taken for the Region, as in the ARNs of all stacks.
        words = {preview.stack: "<stack>", preview.region: "<region>", preview.account_id: "<account>"}
        others = {name: name for name in names if preview.stack in name}
        found[preview.stack] = _normaliser({word: put for word, put in {**others, **words}.items() if word})
    return found


def _normaliser(words: dict[str, str]) -> Normalise:
    # A Region's name goes on in those of its zones: eu-west-1a.
    longest_first = sorted(words, key=len, reverse=True)
    own = re.compile(
        "|".join(_word(it) + (f"(?=[a-z]?{_END})" if words[it] == "<region>" else _END) for it in longest_first)
    )

    def normalise(text: str) -> str:
        text = own.sub(lambda it: words[it[0]], text) if words else text
        for pattern, put in _IDS:
            text = pattern.sub(put, text)
        return text

    return normalise
