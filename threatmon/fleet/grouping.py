"""The previews of many stacks as one: a change that several stacks share is listed once, with the stacks."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, Literal, NamedTuple, TypeVar

from threatmon.fleet.changes import Op, StackPreview
from threatmon.fleet.dangers import Danger, dangers
from threatmon.fleet.differences import Difference, differences, without_secrets
from threatmon.fleet.normalize import Normalize, normalizers
from threatmon.fleet.preview_errors import important_lines

StackStatus = Literal["changed", "new", "unchanged", "failed", "without file"]
_T = TypeVar("_T")
# Returns a value with each text in it replaced that may hold a stack's own words.
_Replace = Callable[[_T, Normalize], _T]


class Group(NamedTuple, Generic[_T]):
    """A part that is equal in these stacks; a stack's own words are replaced by ``<stack>``, ``<subnet>``..."""

    value: _T
    stacks: tuple[str, ...]
    number: int
    """how often, in all stacks together"""


class ChangeSummary(NamedTuple):
    """What an update does to a resource, without what stays the same."""

    op: Op
    type: str
    name: str
    retained: bool
    differences: tuple[Difference, ...]


class ResourceCount(NamedTuple):
    """How many resources of a type a new stack would have."""

    op: Op
    type: str
    number: int


class FleetPreview(NamedTuple):
    """The previews of many stacks; in each list of groups those of most stacks come first."""

    previews: list[StackPreview]
    """each stack's own, by name and without secrets"""
    dangers: list[Group[Danger]]
    """of all stacks, as far as their previews came"""
    failures: list[Group[tuple[str, ...]]]
    """the lines of an error that say why"""
    changes: list[Group[ChangeSummary]]
    """of the changed stacks"""
    new: list[Group[tuple[ResourceCount, ...]]]
    """of the new stacks"""
    notes: list[Group[tuple[str, ...]]]
    """lines"""

    def stacks(self, status_: StackStatus) -> list[str]:
        """Return the stacks of a status, by name."""
        return [preview.stack for preview in self.previews if status(preview) == status_]


def status(preview: StackPreview) -> StackStatus:
    """Return how a stack is counted."""
    if preview.error is not None:
        return "failed"
    if preview.is_new:
        return "new"
    if preview.without_file:
        return "without file"
    return "changed" if preview.to_do else "unchanged"


def group(previews: Iterable[StackPreview]) -> FleetPreview:
    """Return the previews, each of another stack, as one; their order does not matter."""
    previews = [
        preview._replace(changes=tuple(map(without_secrets, preview.changes)))
        for preview in sorted(previews, key=lambda preview: preview.stack)
    ]
    normal = normalizers(previews)

    def grouped(values: Callable[[StackPreview], Iterable[_T]], replace: _Replace[_T]) -> list[Group[_T]]:
        found = ((preview.stack, value) for preview in previews for value in values(preview))
        return sorted(
            _grouped(found, replace, normal), key=lambda each: (-len(each.stacks), each.stacks, each.value, each.number)
        )

    return FleetPreview(
        previews,
        grouped(lambda preview: dangers(preview.changes), _replace_in_danger),
        grouped(_failures, _replace_in_lines),
        grouped(_change_summaries, _replace_in_change),
        grouped(_resource_counts, lambda counts, _: counts),
        grouped(lambda preview: [tuple(note.splitlines()) for note in preview.notes], _replace_in_lines),
    )


# -- what is grouped --------------------------------------------------------------------------------------------------


def _failures(preview: StackPreview) -> list[tuple[str, ...]]:
    return [] if preview.error is None else [important_lines(preview.error)]


def _change_summaries(preview: StackPreview) -> list[ChangeSummary]:
    return [
        ChangeSummary(change.op, change.type, change.name, change.retained, differences(change))
        for change in (preview.to_do if status(preview) == "changed" else ())
    ]


def _resource_counts(preview: StackPreview) -> list[tuple[ResourceCount, ...]]:
    if status(preview) != "new":
        return []
    counts = Counter(ResourceCount(change.op, change.type, 1) for change in preview.to_do)
    found = [each._replace(number=number) for each, number in counts.items()]
    return [tuple(sorted(found, key=lambda each: (-each.number, each.type, each.op)))]


def _replace_in_change(change: ChangeSummary, replace: Normalize) -> ChangeSummary:
    found = tuple(
        Difference(replace(each.path), each.sign, replace(each.old), replace(each.new), each.replaces)
        for each in change.differences
    )
    return change._replace(name=replace(change.name), differences=found)


def _replace_in_danger(danger: Danger, replace: Normalize) -> Danger:
    return danger._replace(resource=replace(danger.resource), text=replace(danger.text))


def _replace_in_lines(lines: tuple[str, ...], replace: Normalize) -> tuple[str, ...]:
    return tuple(map(replace, lines))


# -- grouping ---------------------------------------------------------------------------------------------------------


def _grouped(
    values: Iterable[tuple[str, _T]], replace: _Replace[_T], normal: Mapping[str, Normalize]
) -> Iterable[Group[_T]]:
    """Group values that are equal after each stack's own words are replaced.

    A value of a single stack keeps its words, and so does a text that is the same in all stacks of the group, because
    they say more than ``<stack>``. A text that several stacks share, but that would be normalized differently for each,
    is not replaced: in "deliver a mail" the article is not the name of the stack ``a``.
    """
    entries = [(stack, *_split(value, replace)) for stack, value in values]
    forms = [tuple(map(normal[stack], texts)) for stack, _, texts in entries]
    read: defaultdict[tuple[_T, int, str], set[str]] = defaultdict(set)
    for (_, shape, texts), form in zip(entries, forms, strict=True):
        for place, (text, normalized) in enumerate(zip(texts, form, strict=True)):
            read[shape, place, text].add(normalized)
    found: defaultdict[tuple[_T, tuple[str, ...]], list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for (stack, shape, texts), form in zip(entries, forms, strict=True):
        pairs = enumerate(zip(texts, form, strict=True))
        shared = (put if len(read[shape, place, text]) == 1 else text for place, (text, put) in pairs)
        found[shape, tuple(shared)].append((stack, texts))
    for (shape, shared), same in found.items():
        stacks = tuple(sorted({stack for stack, _ in same}))
        counts = Counter(texts for _, texts in same)
        if len(stacks) > 1:
            columns = zip(shared, *counts, strict=True)  # of each text: normalized, and as the stacks have it
            counts = {tuple(own[0] if len(set(own)) == 1 else put for put, *own in columns): len(same)}
        for texts, number in counts.items():
            remaining = iter(texts)
            yield Group(replace(shape, lambda _, remaining=remaining: next(remaining)), stacks, number)


def _split(value: _T, replace: _Replace[_T]) -> tuple[_T, tuple[str, ...]]:
    """Return a value with its texts left out, and the texts."""
    texts: list[str] = []
    return replace(value, lambda text: texts.append(text) or ""), tuple(texts)
