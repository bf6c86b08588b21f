"""Replaces a stack's own words in texts (name, account, Region, ids), so that equal changes are equal texts."""

import re
from collections.abc import Callable, Sequence

from threatmon.fleet.changes import StackPreview

Normalize = Callable[[str], str]

# Where a word begins, also after a slash as the console's links encode it (*2f), and where it ends.
_START = r"(?:(?<![^\W_])|(?<=\*2f))"
_END = r"(?![^\W_])"
_HEX = "[0-9a-f]"
# Ids of EC2 resources, keys and detectors, and the seven hex digits Pulumi ends a name in:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
# https://www.pulumi.com/docs/iac/concepts/resources/names/#autonaming
_ID = re.compile(
    rf"{_START}(?P<kind>subnet|vpc|eni|fl|sg)-(?:{_HEX}{{17}}|{_HEX}{{8}}){_END}"
    rf"|(?<![^\W_])(?P<id>{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}|{_HEX}{{32}}){_END}"
    rf"|(?<=[^\W_])-{_HEX}{{7}}{_END}"
)


def normalizers(previews: Sequence[StackPreview]) -> dict[str, Normalize]:
    """Return by stack a function that replaces its own words in a text by ``<stack>``, ``<account>``, ``<subnet>``...

    Only whole words count: a stack ``a`` leaves ``data`` alone, and a stack ``prod`` leaves the name of the stack
    ``prod-eu`` alone.
    """
    names = {preview.stack for preview in previews}
    found: dict[str, Normalize] = {}
    for preview in previews:
        others = {name: name for name in names if preview.stack in name}
        # A stack named like its Region is taken for the Region, as in the ARNs of all stacks.
        own = {preview.stack: "<stack>", preview.region: "<region>", preview.account_id: "<account>"}
        found[preview.stack] = _normalizer({word: put for word, put in {**others, **own}.items() if word})
    return found


def _normalizer(words: dict[str, str]) -> Normalize:
    # The name of a zone begins with that of its Region: eu-west-1a.
    longest_first = [
        re.escape(word) + ("(?=[a-z]?" if words[word] == "<region>" else "(?:") + f"{_END})"
        for word in sorted(words, key=len, reverse=True)
    ]
    own = re.compile(rf"{_START}(?:{'|'.join(longest_first)})") if words else None

    def normalize(text: str) -> str:
        text = own.sub(lambda match: words[match[0]], text) if own else text
        return _ID.sub(_placeholder, text)

    return normalize


def _placeholder(match: re.Match[str]) -> str:
    return f"<{match['kind']}>" if match["kind"] else "<id>" if match["id"] else "-<random>"
