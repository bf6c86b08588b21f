"""The previews of many stacks as one result: each change once, with the stacks that have it."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from threatmon.fleet.changes import Op, ResourceChange, StackPreview
from threatmon.fleet.dangers import KINDS, dangers
from threatmon.fleet.differences import Difference, differences, without_secrets
from threatmon.fleet.normalize import Normalise, normalisers
from threatmon.fleet.preview_errors import important

Status = Literal["changed", "new", "unchanged", "failed"]

# What is to be seen first.
_OPS: Sequence[Op] = ("delete", "replace", "update", "create", "import", "refresh")


class FoldedChange(NamedTuple):
    """A change that stacks have in common; what is a stack's own in it reads ``<stack>``, ``<subnet>``..."""

    op: Op
    type: str
    name: str
    retained: bool
    differences: tuple[Difference, ...]
    resources: int
    """in all stacks together"""


class Group(NamedTuple):
    """The changes that these stacks have, and no other."""

    stacks: tuple[str, ...]
    changes: tuple[FoldedChange, ...]


class Resources(NamedTuple):
    """How many resources of a type."""

    op: Op
    type: str
    number: int


class NewStacks(NamedTuple):
    """Stacks that do not exist yet, and what each of them would have."""

    stacks: tuple[str, ...]
    resources: tuple[Resources, ...]


class Failure(NamedTuple):
    """Why previews failed."""

    stacks: tuple[str, ...]
    lines: tuple[str, ...]
    """the lines of the error that say why"""


class FoldedDanger(NamedTuple):
    """A dangerous change that stacks have in common."""

    kind: str
    resource: str
    text: str
    stacks: tuple[str, ...]
    number: int
    """in all stacks together"""


class Note(NamedTuple):
    """What previews say besides."""

    stacks: tuple[str, ...]
    text: str


class Folded(NamedTuple):
    """The previews of many stacks. Each stack is in one of: changed, new, unchanged, failed."""

    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    groups: tuple[Group, ...]
    """every change of the changed stacks; those of most stacks first"""
    new: tuple[NewStacks, ...]
    failures: tuple[Failure, ...]
    dangers: tuple[FoldedDanger, ...]
    """of all stacks, as far as their previews came"""
    notes: tuple[Note, ...]

    @property
    def created(self) -> tuple[str, ...]:
        """The new stacks."""
        return tuple(sorted(stack for it in self.new for stack in it.stacks))

    @property
    def failed(self) -> tuple[str, ...]:
        """The stacks of which a preview failed."""
        return tuple(sorted(stack for it in self.failures for stack in it.stacks))

    @property
    def stacks(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(sorted((*self.changed, *self.created, *self.unchanged, *self.failed)))


def status(preview: StackPreview) -> Status:
    """How a stack is counted."""
    if preview.error is not None:
        return "failed"
    if preview.is_new:
        return "new"
    return "changed" if preview.to_do else "unchanged"


def fold(previews: Sequence[StackPreview]) -> Folded:
    """The previews as one result without secrets, whatever their order; one that is given twice counts once.

    Raises :class:`ValueError` where two different previews are of one stack.
    """
    previews = [it._replace(changes=tuple(map(without_secrets, it.changes))) for it in _once(previews)]
    normal = normalisers(previews)
    by_status: defaultdict[Status, list[StackPreview]] = defaultdict(list)
    for preview in previews:
        by_status[status(preview)].append(preview)
    return Folded(
        changed=_names(by_status["changed"]),
        unchanged=_names(by_status["unchanged"]),
        groups=_groups(by_status["changed"], normal),
        new=_new(by_status["new"]),
        failures=_failures(by_status["failed"], normal),
        dangers=_dangers(previews, normal),
        notes=_notes(previews, normal),
    )


def _once(previews: Sequence[StackPreview]) -> list[StackPreview]:
    found: dict[str, StackPreview] = {}
    for preview in previews:
        if found.setdefault(preview.stack, preview) != preview:
            raise ValueError(f"stack {preview.stack}: there are two previews that differ; fold one of them")
    return [found[stack] for stack in sorted(found)]


def _names(previews: Iterable[StackPreview]) -> tuple[str, ...]:
    return tuple(it.stack for it in previews)


def _groups(previews: Sequence[StackPreview], normal: Mapping[str, Normalise]) -> tuple[Group, ...]:
    items = [_Item(preview.stack, *_split(change)) for preview in previews for change in preview.to_do]
    groups: defaultdict[tuple[str, ...], list[FoldedChange]] = defaultdict(list)
    for shape, texts, stacks in _folded(items, normal):
        groups[tuple(sorted(stacks))].append(_change(shape, texts, stacks.total()))
    return tuple(
        Group(stacks, tuple(sorted(changes, key=_order)))
        for stacks, changes in sorted(groups.items(), key=lambda it: (-len(it[0]), it[0]))
    )


def _split(change: ResourceChange) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """A change as what is the same in any stack, and as texts that may hold the stack's own words."""
    found = differences(change)
    shape = (change.op, change.type, change.retained, tuple((it.sign, it.replaces) for it in found))
    return shape, _kept(change.name, *(text for it in found for text in (it.path, it.old, it.new)))


def _change(shape: tuple[Any, ...], texts: Sequence[str], resources: int) -> FoldedChange:
    op, kind, retained, signs = shape
    found = [
        Difference(texts[at], sign, texts[at + 1], texts[at + 2], replaces)
        for at, (sign, replaces) in zip(range(1, len(texts), 3), signs, strict=True)
    ]
    return FoldedChange(op, kind, texts[0], retained, tuple(found), resources)


def _order(change: FoldedChange) -> tuple[Any, ...]:
    return (_OPS.index(change.op), *change[1:])


def _new(previews: Sequence[StackPreview]) -> tuple[NewStacks, ...]:
    found: defaultdict[tuple[Resources, ...], list[str]] = defaultdict(list)
    for preview in previews:
        counts = Counter(Resources(it.op, it.type, 1) for it in preview.to_do)
        resources = [one._replace(number=number) for one, number in counts.items()]
        found[tuple(sorted(resources, key=lambda it: (-it.number, it.type, it.op)))].append(preview.stack)
    return tuple(sorted(NewStacks(tuple(stacks), counts) for counts, stacks in found.items()))


def _failures(previews: Sequence[StackPreview], normal: Mapping[str, Normalise]) -> tuple[Failure, ...]:
    items = [_Item(it.stack, (), important(it.error or "")) for it in previews]
    found = [Failure(tuple(sorted(stacks)), texts) for _, texts, stacks in _folded(items, normal)]
    return tuple(sorted(found, key=lambda it: (-len(it.stacks), it)))


def _dangers(previews: Sequence[StackPreview], normal: Mapping[str, Normalise]) -> tuple[FoldedDanger, ...]:
    items = [
        _Item(preview.stack, (it.kind,), (it.resource, it.text))
        for preview in previews
        for it in dangers(preview.changes)
    ]
    found = [
        FoldedDanger(kind, resource, text, tuple(sorted(stacks)), stacks.total())
        for (kind,), (resource, text), stacks in _folded(items, normal)
    ]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda it: (order.get(it.kind, len(order)), -len(it.stacks), it)))


def _notes(previews: Sequence[StackPreview], normal: Mapping[str, Normalise]) -> tuple[Note, ...]:
    items = [_Item(preview.stack, (), (note,)) for preview in previews for note in preview.notes]
    found = [Note(tuple(sorted(stacks)), texts[0]) for _, texts, stacks in _folded(items, normal)]
    return tuple(sorted(found, key=lambda it: (-len(it.stacks), it)))


class _Item(NamedTuple):
    stack: str
    shape: tuple[Any, ...]
    """what has to be equal as it is"""
    texts: tuple[str, ...]
    """what has to be equal but for the stacks' own words"""


def _folded(
    items: Sequence[_Item], normal: Mapping[str, Normalise]
) -> Iterable[tuple[tuple[Any, ...], tuple[str, ...], Counter[str]]]:
    """Each shape and texts that are equal in some stacks -> how often each stack has them.

    What only one stack has keeps its own words, and so does a text that all of them have alike: they say more than
    ``<stack>`` does.
    """
    normalised = _normalised(items, normal)
    found: defaultdict[tuple[Any, ...], list[_Item]] = defaultdict(list)
    for item, texts in zip(items, normalised, strict=True):
        found[item.shape, texts].append(item)
    for (shape, texts), same in found.items():
        stacks = Counter(it.stack for it in same)
        if len(stacks) > 1:
            yield shape, _common(texts, same), stacks
        else:
            for own, count in Counter(it.texts for it in same).items():
                yield shape, own, Counter({same[0].stack: count})


def _common(texts: tuple[str, ...], same: Sequence[_Item]) -> tuple[str, ...]:
    first = same[0].texts
    return tuple(
        own if put != own and all(it.texts[place] == own for it in same) else put
        for place, (put, own) in enumerate(zip(texts, first, strict=True))
    )


def _normalised(items: Sequence[_Item], normal: Mapping[str, Normalise]) -> list[tuple[str, ...]]:
    """The items' texts without the stacks' own words.

    Where stacks share a text, but would each read other words of their own in it, it is nobody's own: stack ``a`` does
    not own the article in "deliver a mail", nor the account of the queue that all stacks write to.
    """
    forms = [_put(item.texts, normal[item.stack]) for item in items]
    # (shape, place, text) -> what the stacks that have it make of it
    read: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    for item, form in zip(items, forms, strict=True):
        for place, (text, put) in enumerate(zip(item.texts, form, strict=True)):
            read[item.shape, place, text].add(put)
    return [
        tuple(
            put if put == text or len(read[item.shape, place, text]) == 1 else text
            for place, (text, put) in enumerate(zip(item.texts, form, strict=True))
        )
        for item, form in zip(items, forms, strict=True)
    ]


def _put(texts: tuple[str, ...], normalise: Normalise) -> tuple[str, ...]:
    # One search through all texts is several times as fast as one through each.
    joined = _BREAK.join(texts)
    put = normalise(joined).split(_BREAK)
    return _kept(*(put if len(put) == len(texts) else map(normalise, texts)))


def _kept(*texts: str) -> tuple[str, ...]:
    """The texts, each kept once for all stacks."""
    return tuple(map(sys.intern, texts))


_BREAK = "\x00"
