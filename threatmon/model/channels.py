"""Channels: subscribers who get the same format from the same severity up share one topic."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol, TypeVar

from threatmon.model.severity import Band, SeverityName, bands_from

# text: the mail for people; raw: the event as EventBridge has it.
MessageFormat = Literal["text", "raw"]


class Channel(NamedTuple):
    """What subscribers of one topic have in common."""

    format: MessageFormat
    minimum_severity: SeverityName

    def suffix(self, usual: SeverityName) -> str:
        """Return what its resources' names end in: nothing for the mail of every alert.

        ``usual`` is the lowest severity that alerts.
        """
        words = [
            "" if self.format == "text" else self.format,
            "" if self.minimum_severity == usual else self.minimum_severity,
        ]
        return "".join(f"-{word}" for word in words if word)

    def topic(self, usual: SeverityName) -> str:
        """Return what its topic is called within a stack: ``topic``, ``topic-raw``, ``topic-high``..."""
        return f"topic{self.suffix(usual)}"

    def takes(self, band: Band) -> bool:
        """Say whether findings of a severity band go to this channel."""
        return band in bands_from(self.minimum_severity)


class _Subscriber(Protocol):
    @property
    def format(self) -> MessageFormat: ...

    @property
    def minimum_severity(self) -> SeverityName | None: ...


AnySubscriber = TypeVar("AnySubscriber", bound=_Subscriber)


def by_channel(subscribers: Iterable[AnySubscriber], usual: SeverityName) -> dict[Channel, list[AnySubscriber]]:
    """Group subscribers by channel, the mail of every alert first.

    ``usual`` is the lowest severity that alerts, and that of a subscriber who names none.
    """
    groups: dict[Channel, list[AnySubscriber]] = {}
    for subscriber in subscribers:
        channel = Channel(subscriber.format, subscriber.minimum_severity or usual)
        groups.setdefault(channel, []).append(subscriber)
    return dict(sorted(groups.items(), key=lambda group: group[0].suffix(usual)))
