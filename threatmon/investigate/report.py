"""The report of an investigation: for the person on call, and for a machine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from threatmon.investigate import topology, traffic
from threatmon.investigate.exposure import ports
from threatmon.investigate.investigation import LONGEST, Found, Json, Traffic, Window, at, each, time_of
from threatmon.model.severity import BANDS
from threatmon.reports import Block, Drawing, Facts, Report, Section, size, table

_ROWS = 10


def severity_word(finding: Json) -> str:
    """LOW, MEDIUM, HIGH or CRITICAL; ``?`` for what is no severity."""
    severity = finding.get("severity")
    return next((band.name.upper() for band in BANDS if severity in band), "?")


def report(found: Found) -> Report:
    """The report for the person on call: the finding, the exposure, the traffic, other findings."""
    about = found.subject
    title = str(about.finding.get("type", "Finding")) if about.finding else f"Instance {about.instance_id}"
    sections = [_finding(found)] if about.finding else []
    if about.instance_id:
        sections.append(_exposure(found))
    if found.traffic or "traffic" in found.failures:
        sections.append(_traffic(found))
    if about.instance_id:
        sections.append(_others(found))
    return Report(title, sections)


def _finding(found: Found) -> Section:
    about = found.subject
    finding = about.finding or {}
    service = finding.get("service")
    resource = [about.instance_id, *_names(finding.get("resource"))]
    rows = [
        ("Severity", f"{severity_word(finding)} ({finding.get('severity', '?')})"),
        ("Title", str(finding.get("title") or "")),
        ("Seen", _seen(at(service, "eventFirstSeen"), at(service, "eventLastSeen"))),
        ("Count", str(at(service, "count") or "")),
        ("Resource", " ".join([str(at(finding, "resource", "resourceType") or ""), *filter(None, resource)])),
        ("Remote", ", ".join(about.remote_addresses)),
        ("Account", f"{about.account_id or '?'}, {about.region or '?'}"),
        ("Finding id", str(finding.get("id") or "")),
    ]
    sentences = (
        [] if about.instance_id else ["The finding names no instance: exposure and other findings do not apply."]
    )
    sentences += ["This is a sample finding: GuardDuty made up its resources."] if about.is_sample else []
    sentences += ["The finding is archived."] if at(service, "archived") is True else []
    return Section("The finding", [Facts([(name, value) for name, value in rows if value]), *sentences])


def _seen(first: Any, last: Any) -> str:
    start, end = time_of(first), time_of(last)
    return str(Window(start, end)) if start and end else str(first or last or "")


# Who or what a finding is about where it is no instance.
_NAMES = (
    ("accessKeyDetails", "userName"),
    ("eksClusterDetails", "name"),
    ("ecsClusterDetails", "name"),
    ("containerDetails", "name"),
    ("lambdaDetails", "functionName"),
    ("rdsDbInstanceDetails", "dbInstanceIdentifier"),
)


def _names(resource: Any) -> list[str]:
    buckets = [at(bucket, "name") for bucket in each(at(resource, "s3BucketDetails"))]
    return [str(it) for it in (*(at(resource, *path) for path in _NAMES), *buckets) if it]


def _exposure(found: Found) -> Section:
    seen = found.exposure
    failures = [text for name, text in found.failures.items() if name not in {"traffic", "others"}]
    if not seen:
        return Section("Exposure", failures or ["Nothing is known of the instance."])
    role = f" (role {found.role_name})" if found.role_name else ""
    rows = [
        ("Instance", " ".join(filter(None, [seen.instance_id, seen.name, seen.state]))),
        ("Profile", f"{seen.instance_profile}{role}" if seen.instance_profile else "none"),
    ]
    for way in seen.interfaces:
        route = f"internet gateway {', '.join(way.gateway_ids)}" if way.gateway_ids else "no internet gateway"
        rows += [
            (f"Interface {way.name}", f"public {', '.join(way.addresses) or 'none'}"),
            ("  Subnet", f"{', '.join(way.subnet_ids)}, {', '.join(way.route_table_ids) or 'routes unknown'}: {route}"),
            ("  Security groups", f"{', '.join(way.security_group_ids) or 'none'}: {ports(way.groups_open)}"),
            ("  Network ACL", f"{', '.join(way.network_acl_ids) or 'unknown'}: {ports(way.acls_open)}"),
        ]
    for balancer, way in seen.balancers:
        scheme = "internet-facing" if balancer.internet_facing else "internal"
        targets = ", ".join(f"{port} {health}" for port, health in balancer.targets)
        listening = ", ".join(f"{protocol} {port}" for protocol, port in balancer.listeners) or "nothing"
        rows.append(
            (
                f"Load balancer {balancer.name}",
                f"{balancer.kind}, {scheme}, listens on {listening}, open {ports(way.openings)}; target port {targets}",
            )
        )
    return Section("Exposure", [seen.verdict, Facts(rows), *_drawing(found), *found.notes, *failures])


def _drawing(found: Found) -> list[Block]:
    about, seen = found.subject, found.traffic
    peers, bursts = (seen.of("peers"), seen.of("bursts")) if seen else ([], [])
    drawn = topology.topology(about.instance_id or "", found.exposure, peers, bursts)
    return [Drawing(topology.text(drawn), topology.mermaid(drawn))]


_PORT_COLUMNS = ("Port", "Name", "Action", "Flows", "Hosts", "Bytes")
# Question -> the table's title, its columns, and an entry as a row of it.
_TABLES: Mapping[str, tuple[str, Sequence[str], Any]] = {
    "ports_out": (
        "Outbound, by destination port",
        _PORT_COLUMNS,
        lambda it: (f"{it.protocol} {it.port}", it.name, it.action, it.flows, it.hosts, size(it.size)),
    ),
    "ports_in": (
        "Inbound, by port of the instance",
        _PORT_COLUMNS,
        lambda it: (f"{it.protocol} {it.port}", it.name, it.action, it.flows, it.hosts, size(it.size)),
    ),
    "peers": (
        "Remote addresses",
        ("Address", "Where", "Flows", "Sent", "Received"),
        lambda it: (it.address, "inside" if it.inside else "outside", it.flows, size(it.sent), size(it.received)),
    ),
    "inside": (
        "Reached inside",
        ("Address", "Port", "Name", "Flows", "Bytes", "Kind"),
        lambda it: (
            it.address,
            f"{it.protocol} {it.port}",
            it.name,
            it.flows,
            size(it.size),
            "administration" if it.administration else "",
        ),
    ),
    "rejected": (
        "Rejected",
        ("Source", "Destination", "Port", "Name", "Flows"),
        lambda it: (it.source, it.destination, f"{it.protocol} {it.port}", it.name, it.flows),
    ),
    "bursts": (
        "Ports of one host in five minutes",
        ("Host", "From (UTC)", "Ports", "Packets"),
        lambda it: (it.address, it.start, f"{it.ports} {it.protocol}", it.packets),
    ),
    "remote": (
        "The finding's remote address, in the whole log group",
        ("Interface", "Source", "Destination", "Action", "Flows", "Bytes"),
        lambda it: (it.interface_id, it.source, it.destination, it.action, it.flows, size(it.size)),
    ),
}


def _traffic(found: Found) -> Section:
    seen = found.traffic
    if not seen:
        return Section("Traffic", [found.failures["traffic"]])
    blocks: list[Block] = [f"{seen.window}{_cut(seen.window)}"]
    if "bursts" in seen.entries:
        blocks.append(traffic.scan_verdict(seen.of("bursts")))
    blocks += [
        table(title, columns, [row(entry) for entry in _first(question, seen)], _ROWS)
        for question, (title, columns, row) in _TABLES.items()
        if seen.of(question)
    ]
    empty = [title.lower() for question, (title, _, _) in _TABLES.items() if seen.entries.get(question) == []]
    blocks += [f"No records of: {'; '.join(empty)}."] if empty else []
    by_reason: dict[str, list[str]] = {}
    for question, reason in seen.failures.items():
        by_reason.setdefault(reason, []).append(_TABLES[question][0].lower())
    blocks += [f"Not known ({'; '.join(titles)}): {reason}" for reason, titles in by_reason.items()]
    blocks.append(
        f"{size(seen.bytes_scanned)} scanned in {len(seen.entries) + len(seen.failures)} queries,"
        f" {seen.records:,} records matched, {seen.seconds:.1f} s, about"
        f" USD {traffic.cost(seen.bytes_scanned):.4f}: {traffic.PRICE_SOURCE}."
    )
    return Section("Traffic", blocks)


def _first(question: str, seen: Traffic) -> list[Any]:
    """The entries, with those that matter most where only the first are shown."""
    entries = seen.of(question)
    return sorted(entries, key=lambda it: not it.administration) if question == "inside" else entries


def _minute(value: Any) -> str:
    time = time_of(value)
    return f"{time:%Y-%m-%d %H:%M}" if time else str(value or "")


def _cut(seen: Window) -> str:
    if seen.cut is None:
        return ""
    return f", the last {LONGEST.total_seconds() / 3600:.0f} of {seen.cut:.0f} hours (--hours widens)"


def _others(found: Found) -> Section:
    if found.others is None:
        return Section("Other findings on this instance", [found.failures.get("others", "Not looked at.")])
    if not found.others:
        return Section("Other findings on this instance", ["None in the 90 days for which GuardDuty keeps findings."])
    rows = [
        (
            severity_word(it),
            it.get("type"),
            _minute(at(it, "service", "eventLastSeen") or it.get("updatedAt")),
            at(it, "service", "count"),
            it.get("id"),
        )
        for it in found.others
    ]
    columns = ("Severity", "Type", "Last seen (UTC)", "Count", "Finding id")
    return Section("Other findings on this instance", [table("The latest first", columns, rows, _ROWS)])


def document(found: Found) -> dict[str, Any]:
    """The same for a machine."""
    seen = found.traffic
    return {
        "finding": found.subject.finding,
        "instanceId": found.subject.instance_id,
        "exposure": asdict(found.exposure) if found.exposure else None,
        "roleName": found.role_name,
        "traffic": {
            "start": seen.window.start.isoformat(),
            "end": seen.window.end.isoformat(),
            **{question: _dicts(entries) for question, entries in seen.entries.items()},
            "scan": traffic.scan_verdict(seen.of("bursts")) if "bursts" in seen.entries else None,
            "failures": dict(seen.failures),
            "bytesScanned": seen.bytes_scanned,
            "recordsMatched": seen.records,
            "seconds": seen.seconds,
            "estimatedCostUsd": traffic.cost(seen.bytes_scanned),
            "price": traffic.PRICE_SOURCE,
        }
        if seen
        else None,
        "otherFindings": None if found.others is None else list(found.others),
        "notes": list(found.notes),
        "failures": dict(found.failures),
    }


def _dicts(entries: Iterable[Any]) -> list[dict[str, Any]]:
    return [entry._asdict() for entry in entries]
