"""Flow-log record formats, and the Logs Insights queries that read them.

Fields: https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
Syntax: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
Every query parses the record itself: Logs Insights discovers the fields of the default format only, and not reliably
in a log group of class INFREQUENT_ACCESS.
"""

from collections.abc import Mapping
from typing import Literal

FormatName = Literal["default", "extended"]

_DEFAULT = [
    *("version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol"),
    *("packets", "bytes", "start", "end", "action", "log-status"),
]
# The default fields come first, so that what reads the default format finds them at their places.
_EXTENDED = [
    *_DEFAULT,
    *("vpc-id", "subnet-id", "instance-id", "tcp-flags", "type", "pkt-srcaddr", "pkt-dstaddr", "region", "az-id"),
    *("pkt-src-aws-service", "pkt-dst-aws-service", "flow-direction", "traffic-path"),
]
FIELDS: Mapping[FormatName, list[str]] = {"default": _DEFAULT, "extended": _EXTENDED}


def log_format(name: FormatName) -> str | None:
    """Return the ``log_format`` of a flow log; None is AWS's default."""
    return None if name == "default" else " ".join(f"${{{field}}}" for field in FIELDS[name])


def parse_line(name: FormatName) -> str:
    """Return the command that splits a record into fields, hyphens written as underscores."""
    aliases = ", ".join(field.replace("-", "_") for field in FIELDS[name])
    return f'parse @message "{" ".join("*" for _ in FIELDS[name])}" as {aliases}'


def by_destination_port(interface_id: str) -> str:
    """Return the query for what one network interface talked to, by destination port; short, to fit into a link.

    It reads both formats: the default fields come first, and the last ``*`` takes whatever follows.
    """
    aliases = ",".join(field.replace("-", "_") for field in _DEFAULT[:-1])
    return "\n".join(
        [
            f'parse @message "{" ".join("*" for _ in _DEFAULT)}" as {aliases},rest',
            f'| filter interface_id="{interface_id}"',
            "| stats count(*) as flows,count_distinct(dstaddr) as hosts,sum(bytes) as size by dstport,protocol,action",
            "| sort flows desc",
        ]
    )


def saved_queries(name: FormatName) -> dict[str, str]:
    """Return the queries that are saved for the log group, by title."""
    return {title: "\n".join([parse_line(name), *body]) for title, body in _BODIES.items()}


_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_LEAVES_THE_NETWORK = " and ".join(f'not isIpv4InSubnet(dstaddr, "{network}")' for network in _PRIVATE)

_BODIES: Mapping[str, tuple[str, ...]] = {
    "top talkers": (
        '| filter log_status = "OK"',
        "| stats sum(bytes) as bytesTotal, sum(packets) as packetsTotal, count(*) as flows by srcaddr, dstaddr",
        "| sort bytesTotal desc",
        "| limit 50",
    ),
    "by destination port": (
        '| filter log_status = "OK"',
        "| stats count(*) as flows, count_distinct(dstaddr) as hosts, sum(bytes) as bytesTotal"
        " by dstport, protocol, action",
        "| sort flows desc",
        "| limit 50",
    ),
    "port scans": (
        "| filter protocol = 6",
        "| stats count_distinct(dstport) as ports, sum(packets) as packetsSent by srcaddr, dstaddr, bin(5m)",
        "| filter ports > 25",
        "| sort ports desc",
        "| limit 100",
    ),
    "port sweeps": (
        "| filter protocol = 6",
        "| stats count_distinct(dstaddr) as hosts, count(*) as flows by srcaddr, dstport, bin(5m)",
        "| filter hosts > 25",
        "| sort hosts desc",
        "| limit 100",
    ),
    "rejected": (
        '| filter action = "REJECT"',
        "| stats count(*) as rejects by srcaddr, dstaddr, dstport, protocol",
        "| sort rejects desc",
        "| limit 100",
    ),
    "bytes out": (
        f'| filter action = "ACCEPT" and {_LEAVES_THE_NETWORK}',
        "| stats sum(bytes) / 1048576 as MiBOut, count(*) as flows by srcaddr, dstaddr, dstport",
        "| sort MiBOut desc",
        "| limit 50",
    ),
    "gaps in the record": (
        '| filter log_status != "OK"',
        "| stats count(*) as records by log_status, interface_id, bin(1h)",
        "| sort records desc",
        "| limit 100",
    ),
}
