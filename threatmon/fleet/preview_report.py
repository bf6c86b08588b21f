"""The folded previews of a fleet for people: its parts in the order they are read, and the text a terminal prints."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from threatmon.fleet.changes import Op
from threatmon.fleet.dangers import KINDS
from threatmon.fleet.differences import Difference
from threatmon.fleet.grouping import Failure, Folded, FoldedChange, FoldedDanger, Group, NewStacks
from threatmon.reports import plain

Noun = Literal["dangerous change", "failure", "change", "new stack", "unchanged stack", "note"]

_SIGNS: Mapping[Op, str] = {"create": "+", "import": "+", "delete": "-"}
_FEW = 3
_NAME = 200  # characters of a name or path that are shown; more than any of ours has


class Detail(NamedTuple):
    """How much of a report is shown."""

    lines: int
    """of one error, one note, or the properties of one change"""
    width: int
    """characters of one value or line"""
    names: int
    """characters of a whole list of stacks, besides its first few; 0 for no such list"""


FULL = Detail(lines=20, width=300, names=4000)


class Wording(NamedTuple):
    """What is said of stacks with changes, and whether dangers can be allowed."""

    changed: str
    can_allow: bool
    marker: str
    """how a comment or issue begins, by which it is found and updated"""
    command: str
    """what prints the whole of a report that is cut"""


PREVIEW = Wording(
    "would change",
    can_allow=True,
    marker="<!-- threatmon fleet preview -->",
    command="threatmon fleet preview --format json",
)
DRIFT = Wording(
    "drifted",
    can_allow=False,
    marker="<!-- threatmon fleet drift -->",
    command="threatmon fleet drift --format json",
)


class Line(NamedTuple):
    """One line: a ``sign`` (+, -, ~ or a space) for what it is about, and its text."""

    sign: str
    text: str


class Entry(NamedTuple):
    """Lines that stay together, and how many of the part's nouns they are."""

    lines: tuple[Line, ...]
    number: int = 1


class Part(NamedTuple):
    """A part of the report. Its title is our own words, all else may come from anywhere."""

    noun: Noun
    title: str
    stacks: tuple[str, ...]
    entries: tuple[Entry, ...]
    kind: str = ""
    """of danger (a key of ``threatmon.fleet.dangers.KINDS``), in a part on one"""


def headline(folded: Folded, wording: Wording = PREVIEW) -> str:
    """One sentence: ``50 stacks: 47 would change, 2 stay the same, 1 failed; 3 dangerous changes``."""
    counts = [
        (len(folded.changed), wording.changed),
        (len(folded.created), "would be created"),
        (len(folded.unchanged), "stays the same" if len(folded.unchanged) == 1 else "stay the same"),
        (len(folded.failed), "failed"),
    ]
    told = ", ".join(f"{count:,} {word}" for count, word in counts if count)
    dangerous = sum(it.number for it in folded.dangers)
    return "".join(
        [
            counted(len(folded.stacks), "stack"),
            f": {told}" if told else "",
            f"; {counted(dangerous, 'dangerous change')}" if dangerous else "",
        ]
    )


def parts(folded: Folded, detail: Detail = FULL) -> list[Part]:
    """The parts as they are read: what most stacks have in common, what differs, what is dangerous, what failed, new
    stacks, what stays the same, notes."""
    kinds = dict.fromkeys(it.kind for it in folded.dangers)
    return [
        *(_group(it, detail, first=it is folded.groups[0]) for it in folded.groups),
        *(_dangers(kind, [it for it in folded.dangers if it.kind == kind], detail) for kind in kinds),
        *(_failure(it, detail) for it in folded.failures),
        *(_new(it) for it in folded.new),
        *([_unchanged(folded.unchanged)] if folded.unchanged else []),
        *(_note(it.text, it.stacks, detail) for it in folded.notes),
    ]


def text(folded: Folded, wording: Wording = PREVIEW) -> str:
    """The report for a terminal, without colours; no text of it does anything there."""
    lines = [headline(folded, wording)]
    for part in parts(folded):
        lines += ["", f"{part.title}: {first_few(part.stacks)}"]
        allowed = f"Allowed by --allow {part.kind}" if wording.can_allow else ""
        lines += [f"  {meaning(part.kind)}{allowed}".rstrip()] if part.kind else []
        lines += [f"  {line.sign} {line.text}".rstrip() for entry in part.entries for line in entry.lines]
    return "\n".join([*lines, ""])


def meaning(kind: str) -> str:
    """What a kind of danger is, as a sentence with a space after it; nothing for an unknown one."""
    about = KINDS.get(kind, "")
    return f"{about[0].upper()}{about[1:]}. " if about else ""


def counted(count: int, noun: str) -> str:
    """``1 change``, ``12 changes``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def first_few(names: Sequence[str], put: Callable[[str], str] | None = None) -> str:
    """``a, b, c and 44 more``, each name as ``put`` puts it."""
    shown = ", ".join(map(put or short, names[:_FEW]))
    return f"{shown} and {len(names) - _FEW:,} more" if len(names) > _FEW else shown


def is_long(names: Sequence[str]) -> bool:
    """Whether :func:`first_few` leaves some out."""
    return len(names) > _FEW


def short(value: str, width: int = _NAME) -> str:
    """Any text as one line of that many characters at most, the end replaced by ``…`` where it is longer."""
    line = plain(value)
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _group(group: Group, detail: Detail, *, first: bool) -> Part:
    changes, stacks = counted(len(group.changes), "change"), counted(len(group.stacks), "stack")
    if len(group.stacks) == 1:
        title = f"{changes} in {stacks}" if first else f"{changes} only in {stacks}"
    else:
        title = f"The same {changes.removeprefix('1 ')} {'' if first else 'only '}in {stacks}"
    return Part(
        "change",
        title,
        group.stacks,
        tuple(Entry(tuple(_change(it, len(group.stacks), detail))) for it in group.changes),
    )


def _change(change: FoldedChange, stacks: int, detail: Detail) -> Iterator[Line]:
    several = f" ({change.resources:,} resources)" if change.resources > stacks else ""
    retained = " (left in the account)" if change.retained and change.op in ("delete", "replace") else ""
    what = f"{change.op} {short_type(change.type)} {short(change.name)}{retained}"
    yield Line(_SIGNS.get(change.op, "~"), what + several)
    yield from _bounded((_difference(it, detail) for it in change.differences), len(change.differences), detail)


def _difference(it: Difference, detail: Detail) -> Line:
    old, new = short(it.old, detail.width), short(it.new, detail.width)
    value = f"{old} -> {new}" if it.sign == "~" and old and new else f"{it.sign} {new or old}".rstrip()
    return Line(it.sign, f"    {short(it.path)}: {value}{' (replaces it)' if it.replaces else ''}")


def _bounded(lines: Iterable[Line], count: int, detail: Detail) -> Iterator[Line]:
    yield from (line for line, _ in zip(lines, range(detail.lines), strict=False))
    if count > detail.lines:
        yield Line(" ", f"    ... and {counted(count - detail.lines, 'line')} more")


def short_type(token: str) -> str:
    """A type token as the engine prints it: ``aws:sns:Topic`` of ``aws:sns/topic:Topic``."""
    package, _, rest = token.partition(":")
    module, _, name = rest.rpartition(":")
    return short(":".join([package, module.partition("/")[0], name]) if module else token)


def _dangers(kind: str, dangers: Sequence[FoldedDanger], detail: Detail) -> Part:
    count = sum(it.number for it in dangers)
    stacks = tuple(sorted({stack for it in dangers for stack in it.stacks}))
    title = f"Dangerous: {counted(count, 'change')} in {counted(len(stacks), 'stack')}"
    entries = [Entry(tuple(_danger(it, stacks, detail)), it.number) for it in dangers]
    return Part("dangerous change", title, stacks, tuple(entries), kind)


def _danger(danger: FoldedDanger, stacks: tuple[str, ...], detail: Detail) -> Iterator[Line]:
    yield Line("-", f"{short(danger.resource)}: {short(danger.text, detail.width)}")
    if danger.stacks != stacks:
        yield Line(" ", f"    in {first_few(danger.stacks)}")


def _failure(failure: Failure, detail: Detail) -> Part:
    lines = (Line(" ", short(it, detail.width)) for it in failure.lines)
    entry = Entry(tuple(_bounded(lines, len(failure.lines), detail)), len(failure.stacks))
    return Part("failure", f"Failed: {counted(len(failure.stacks), 'stack')}", failure.stacks, (entry,))


def _new(new: NewStacks) -> Part:
    count = counted(sum(it.number for it in new.resources), "resource")
    each = f"each with {count}" if len(new.stacks) > 1 else f"with {count}"
    title = f"Creates {counted(len(new.stacks), 'new stack')}, {each}"
    lines = tuple(
        Line("+", f"{it.number:,} {short_type(it.type)}{'' if it.op == 'create' else f' ({it.op})'}")
        for it in new.resources
    )
    return Part("new stack", title, new.stacks, (Entry(lines, len(new.stacks)),))


def _unchanged(stacks: tuple[str, ...]) -> Part:
    title = f"No changes in {counted(len(stacks), 'stack')}"
    return Part("unchanged stack", title, stacks, (Entry((), len(stacks)),))


def _note(note: str, stacks: tuple[str, ...], detail: Detail) -> Part:
    found = note.splitlines()
    lines = (Line(" ", short(it, detail.width)) for it in found)
    title = f"Note on {counted(len(stacks), 'stack')}"
    return Part("note", title, stacks, (Entry(tuple(_bounded(lines, len(found), detail))),))
