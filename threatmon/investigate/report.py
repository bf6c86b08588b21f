"""The report of an investigation, for people and machines."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from threatmon.investigate import traffic
from threatmon.investigate.exposure import InboundPath
from threatmon.investigate.finding import at, each, severity_word, time_of
from threatmon.investigate.investigation import InvestigationResult
from threatmon.investigate.load_balancers import LoadBalancer
from threatmon.investigate.openings import summary
from threatmon.investigate.subject import LONGEST, Window
from threatmon.investigate.topology import topology
from threatmon.investigate.traffic import Traffic
from threatmon.reports.model import Block, Facts, Report, Section, size, table

_ROWS = 10


def report(found: InvestigationResult) -> Report:
    """Report the finding, the exposure, the traffic and other findings."""
    about = found.subject
    title = str(about.finding.get("type", "Finding")) if about.finding else f"Instance {about.instance_id}"
    sections = [_finding(found)] if about.finding else []
    sections += [_exposure(found)] if about.instance_id else []
    sections += [_traffic(found)] if found.traffic or "traffic" in found.failures else []
    sections += [Section("Other findings on this instance", [_others(found)])] if about.instance_id else []
    return Report(title, sections, _document(found))


# -- the finding ------------------------------------------------------------------------------------------------------

# Who or what a finding is about if it is no instance.
_NAMES = (
    ("accessKeyDetails", "userName"),
    ("eksClusterDetails", "name"),
    ("ecsClusterDetails", "name"),
    ("containerDetails", "name"),
    ("lambdaDetails", "functionName"),
    ("rdsDbInstanceDetails", "dbInstanceIdentifier"),
)


def _finding(found: InvestigationResult) -> Section:
    about = found.subject
    finding = about.finding or {}
    service, resource = finding.get("service"), finding.get("resource")
    names = [
        about.instance_id,
        *(at(resource, *path) for path in _NAMES),
        *(at(bucket, "name") for bucket in each(at(resource, "s3BucketDetails"))),
    ]
    rows = [
        ("Severity", f"{severity_word(finding)} ({finding.get('severity', '?')})"),
        ("Title", str(finding.get("title") or "")),
        ("Seen", _seen(at(service, "eventFirstSeen"), at(service, "eventLastSeen"))),
        ("Count", str(at(service, "count") or "")),
        ("Resource", " ".join([str(at(resource, "resourceType") or ""), *(str(name) for name in names if name)])),
        ("Remote", ", ".join(about.remote_addresses)),
        ("Account", f"{about.account_id or '?'}, {about.region or '?'}"),
        ("Finding id", str(finding.get("id") or "")),
    ]
    remarks = {
        "The finding names no instance: exposure and other findings do not apply.": not about.instance_id,
        "This is a sample finding: GuardDuty made up its resources.": about.is_sample,
        "The finding is archived.": at(service, "archived") is True,
    }
    applying = [remark for remark, applies in remarks.items() if applies]
    return Section("The finding", [Facts([(name, value) for name, value in rows if value]), *applying])


def _seen(first: Any, last: Any) -> str:
    start, end = time_of(first), time_of(last)
    return str(Window(start, end)) if start and end else str(first or last or "")


# -- the exposure -----------------------------------------------------------------------------------------------------


def _exposure(found: InvestigationResult) -> Section:
    seen = found.exposure
    failures = [text for name, text in found.failures.items() if name not in {"traffic", "others"}]
    if not seen:
        return Section("Exposure", failures or ["Nothing is known of the instance."])
    role = f" (role {found.role_name})" if found.role_name else ""
    rows = [
        ("Instance", " ".join(filter(None, [seen.instance_id, seen.name, seen.state]))),
        ("Profile", f"{seen.instance_profile}{role}" if seen.instance_profile else "none"),
        *(row for path in seen.interfaces for row in _interface(path)),
        *(_balancer(balancer, path) for balancer, path in seen.balancers),
    ]
    peers, bursts = (found.traffic.of("peers"), found.traffic.of("bursts")) if found.traffic else ([], [])
    drawn = topology(seen, peers, bursts)
    return Section("Exposure", [seen.verdict, Facts(rows), drawn.drawing(), *found.notes, *failures])


def _interface(path: InboundPath) -> list[tuple[str, str]]:
    route = f"internet gateway {', '.join(path.gateway_ids)}" if path.gateway_ids else "no internet gateway"
    tables = ", ".join(path.route_table_ids) or "routes unknown"
    return [
        (f"Interface {path.name}", f"public {', '.join(path.addresses) or 'none'}"),
        ("  Subnet", f"{', '.join(path.subnet_ids)}, {tables}: {route}"),
        ("  Security groups", f"{', '.join(path.security_group_ids) or 'none'}: {summary(path.groups_open)}"),
        ("  Network ACL", f"{', '.join(path.network_acl_ids) or 'unknown'}: {summary(path.acls_open)}"),
    ]


def _balancer(balancer: LoadBalancer, path: InboundPath) -> tuple[str, str]:
    scheme = "internet-facing" if balancer.internet_facing else "internal"
    listening = ", ".join(f"{protocol} {port}" for protocol, port in balancer.listeners) or "nothing"
    targets = ", ".join(f"{port} {health}" for port, health in balancer.targets)
    reached = f"listens on {listening}, open {summary(path.openings)}; target port {targets}"
    return f"Load balancer {balancer.name}", f"{balancer.kind}, {scheme}, {reached}"


# -- the traffic ------------------------------------------------------------------------------------------------------

_PORT_USE = {"Port": "port", "Name": "name", "Action": "action", "Flows": "flows", "Hosts": "hosts", "Bytes": "size"}
# Question -> the table's title, and the field of an entry in each column.
_TABLES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "ports_out": ("Outbound, by destination port", _PORT_USE),
    "ports_in": ("Inbound, by port of the instance", _PORT_USE),
    "peers": (
        "Remote addresses",
        {"Address": "address", "Where": "inside", "Flows": "flows", "Sent": "sent", "Received": "received"},
    ),
    "inside": (
        "Reached inside",
        {"Address": "address", "Port": "port", "Name": "name", "Flows": "flows", "Bytes": "size",
         "Kind": "administration"},
    ),
    "rejected": (
        "Rejected",
        {"Source": "source", "Destination": "destination", "Port": "port", "Name": "name", "Flows": "flows"},
    ),
    "bursts": (
        "Ports of one host in five minutes",
        {"Host": "address", "From (UTC)": "start", "Ports": "ports", "Packets": "packets"},
    ),
    "remote": (
        "The finding's remote address, in the whole log group",
        {"Interface": "interface_id", "Source": "source", "Destination": "destination", "Action": "action",
         "Flows": "flows", "Bytes": "size"},
    ),
}  # fmt: skip


def _cell(entry: traffic.Entry, field: str) -> object:
    value = entry[field]
    match field:
        case "port":
            return f"{entry['protocol']} {value}"
        case "ports":
            return f"{value} {entry['protocol']}"
        case "size" | "sent" | "received":
            return size(value)
        case "inside":
            return "inside" if value else "outside"
        case "administration":
            return "administration" if value else ""
        case _:
            return value


def _traffic(found: InvestigationResult) -> Section:
    seen = found.traffic
    if not seen:
        return Section("Traffic", [found.failures["traffic"]])
    blocks: list[Block] = [f"{seen.window}{_cut(seen.window)}"]
    if "bursts" in seen.entries:
        blocks.append(traffic.scan_verdict(seen.of("bursts")))
    blocks += [
        table(title, list(columns), [[_cell(entry, field) for field in columns.values()] for entry in entries], _ROWS)
        for question, (title, columns) in _TABLES.items()
        # Of the hosts inside, those that were administered come first, as only the first are shown.
        if (entries := sorted(seen.of(question), key=lambda entry: not entry.get("administration")))
    ]
    empty = [title.lower() for question, (title, _) in _TABLES.items() if seen.entries.get(question) == []]
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


def _cut(seen: Window) -> str:
    if seen.cut is None:
        return ""
    return f", the last {LONGEST.total_seconds() / 3600:.0f} of {seen.cut:.0f} hours (--hours widens)"


# -- other findings ---------------------------------------------------------------------------------------------------


def _others(found: InvestigationResult) -> Block:
    if found.others is None:
        return found.failures.get("others", "Not looked at.")
    if not found.others:
        return "None in the 90 days for which GuardDuty keeps findings."
    rows: list[tuple[object, ...]] = []
    for finding in found.others:
        seen = at(finding, "service", "eventLastSeen") or finding.get("updatedAt")
        time = time_of(seen)
        minute = f"{time:%Y-%m-%d %H:%M}" if time else seen
        count = at(finding, "service", "count")
        rows.append((severity_word(finding), finding.get("type"), minute, count, finding.get("id")))
    return table("The latest first", ("Severity", "Type", "Last seen (UTC)", "Count", "Finding id"), rows, _ROWS)


# -- for a machine ----------------------------------------------------------------------------------------------------


def _document(found: InvestigationResult) -> dict[str, Any]:
    return {
        "finding": found.subject.finding,
        "instanceId": found.subject.instance_id,
        "exposure": asdict(found.exposure) if found.exposure else None,
        "roleName": found.role_name,
        "traffic": _traffic_document(found.traffic) if found.traffic else None,
        "otherFindings": None if found.others is None else list(found.others),
        "notes": list(found.notes),
        "failures": dict(found.failures),
    }


def _traffic_document(seen: Traffic) -> dict[str, Any]:
    return {
        "start": seen.window.start.isoformat(),
        "end": seen.window.end.isoformat(),
        **seen.entries,
        "scan": traffic.scan_verdict(seen.of("bursts")) if "bursts" in seen.entries else None,
        "failures": dict(seen.failures),
        "bytesScanned": seen.bytes_scanned,
        "recordsMatched": seen.records,
        "seconds": seen.seconds,
        "estimatedCostUsd": traffic.cost(seen.bytes_scanned),
        "price": traffic.PRICE_SOURCE,
    }
