"""The report on the previews of a fleet, the most important first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from threatmon.fleet.changes import Op, StackPreview
from threatmon.fleet.dangers import KINDS, Danger
from threatmon.fleet.differences import Difference
from threatmon.fleet.grouping import ChangeSummary, FleetPreview, Group, ResourceCount, group
from threatmon.fleet.preview_document import document
from threatmon.reports.model import Block, Line, Listing, Names, Report, Section, counted, short

_SIGNS: Mapping[Op, str] = {"create": "+", "import": "+", "delete": "-"}
_OPS: Sequence[Op] = ("delete", "replace", "update", "create", "import", "refresh")  # what has to be seen first
_LINES = 20  # of one error, one note, or the properties of one change
_WIDTH = 300  # characters of one value or line
_stacks = attrgetter("stacks")


class Wording(NamedTuple):
    """What the report of a command says of stacks with changes, and whether it offers to allow dangers."""

    command: str
    changed: str
    can_allow: bool

    @property
    def marker(self) -> str:
        """How a comment or issue begins, by which CI finds and updates it."""
        return f"<!-- {self.command} -->"

    @property
    def whole(self) -> str:
        """What prints the whole of a report that is cut."""
        return f"{self.command} --output json"


PREVIEW = Wording("threatmon fleet preview", "would change", can_allow=True)
DRIFT = Wording("threatmon fleet drift", "drifted", can_allow=False)


def report(previews: Iterable[StackPreview], wording: Wording = PREVIEW) -> Report:
    """Return dangers, failures, the changes of most stacks, those of fewer, new stacks, unchanged ones, and notes.

    Each preview is of another stack. The report's ``data`` is what
    :func:`threatmon.fleet.preview_document.read_document` reads.
    """
    fleet = group(previews)
    title = _headline(fleet, wording)
    unchanged = fleet.stacks("unchanged")
    sections = [
        *_dangers(fleet.dangers, wording),
        *_messages(f"Failed: {counted(len(fleet.stacks('failed')), 'stack')}", fleet.failures),
        *(_changes(stacks, list(same)) for stacks, same in groupby(fleet.changes, _stacks)),
        *map(_new, fleet.new),
        *([Section(f"No changes in {counted(len(unchanged), 'stack')}", [Names(unchanged)])] if unchanged else []),
        *_messages("Notes", fleet.notes),
    ]
    return Report(title, sections, document(fleet, title), wording.marker)


def _headline(fleet: FleetPreview, wording: Wording) -> str:
    """Return one sentence: ``50 stacks: 47 would change, 2 stay the same, 1 failed; 3 dangerous changes``."""
    unchanged = len(fleet.stacks("unchanged"))
    counts = [
        (len(fleet.stacks("changed")), wording.changed),
        (len(fleet.stacks("new")), "would be created"),
        (unchanged, "stays the same" if unchanged == 1 else "stay the same"),
        (len(fleet.stacks("failed")), "failed"),
        (len(fleet.stacks("without file")), "without a stack file"),
    ]
    parts = ", ".join(f"{count:,} {words}" for count, words in counts if count)
    dangerous = sum(danger.number for danger in fleet.dangers)
    return (
        counted(len(fleet.previews), "stack")
        + (f": {parts}" if parts else "")
        + (f"; {counted(dangerous, 'dangerous change')}" if dangerous else "")
    )


def _dangers(dangers: Sequence[Group[Danger]], wording: Wording) -> Iterator[Section]:
    blocks: list[Block] = []
    for kind, meaning in KINDS.items():
        if found := [danger for danger in dangers if danger.value.kind == kind]:
            allowed = f" Allowed by --allow {kind}." if wording.can_allow else ""
            blocks.append(f"{meaning[0].upper()}{meaning[1:]}.{allowed}")
            for stacks, same in groupby(found, _stacks):
                blocks += [Names(stacks), Listing([_danger(danger) for danger in same])]
    if blocks:
        count, stacks = sum(danger.number for danger in dangers), {name for danger in dangers for name in danger.stacks}
        yield Section(f"Dangerous: {counted(count, 'change')} in {counted(len(stacks), 'stack')}", blocks)


def _danger(danger: Group[Danger]) -> Line:
    return Line("-", f"{short(danger.value.resource)}: {short(danger.value.text, _WIDTH)}{_several(danger)}")


def _changes(stacks: Sequence[str], changes: Sequence[Group[ChangeSummary]]) -> Section:
    count, where = counted(len(changes), "change"), counted(len(stacks), "stack")
    title = f"The same {count.removeprefix('1 ')} in {where}" if len(stacks) > 1 else f"{count} in {where}"
    ordered = sorted(changes, key=lambda change: (_OPS.index(change.value.op), change))
    return Section(title, [Names(stacks), Listing([line for change in ordered for line in _change(change)])])


def _change(change: Group[ChangeSummary]) -> Iterator[Line]:
    op, type_, name, retained, differences = change.value
    kept = " (left in the account)" if retained and op in ("delete", "replace") else ""
    yield Line(_SIGNS.get(op, "~"), f"{op} {short_type(type_)} {short(name)}{kept}{_several(change)}")
    yield from map(_difference, differences[:_LINES])
    if differences[_LINES:]:
        yield Line(" ", f"    ... and {len(differences) - _LINES:,} more")


def _several(group: Group[Any]) -> str:
    return f" ({group.number:,} resources)" if group.number > len(group.stacks) else ""


def _difference(difference: Difference) -> Line:
    values = " -> ".join(short(value, _WIDTH) for value in (difference.old, difference.new) if value)
    replaces = " (replaces it)" if difference.replaces else ""
    return Line(difference.sign, f"    {short(difference.path)}: {values}{replaces}")


def short_type(token: str) -> str:
    """Return a type token as the engine prints it: ``aws:sns:Topic`` of ``aws:sns/topic:Topic``."""
    package, _, rest = token.partition(":")
    module, _, name = rest.rpartition(":")
    return short(":".join([package, module.partition("/")[0], name]) if module else token)


def _new(new: Group[tuple[ResourceCount, ...]]) -> Section:
    total = counted(sum(each.number for each in new.value), "resource")
    title = f"Creates {counted(len(new.stacks), 'new stack')}, {'each ' if len(new.stacks) > 1 else ''}with {total}"
    lines = [
        Line("+", f"{number:,} {short_type(type_)}{'' if op == 'create' else f' ({op})'}")
        for op, type_, number in new.value
    ]
    return Section(title, [Names(new.stacks), Listing(lines)])


def _messages(title: str, messages: Sequence[Group[tuple[str, ...]]]) -> Iterator[Section]:
    blocks: list[Block] = []
    for lines, stacks, _ in messages:
        shown = [Line("", short(line, _WIDTH)) for line in lines[:_LINES]]
        blocks += [Names(stacks), Listing(shown, "text", max(0, len(lines) - _LINES))]
    if blocks:
        yield Section(title, blocks)
