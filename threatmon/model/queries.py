"""Flow-log record formats, and the Logs Insights queries that read them.

Fields: https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
Syntax: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
Every query parses the record itself: Logs Insights discovers the fields of the default format only, and not reliably
in a log group of class INFREQUENT_ACCESS.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
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


def traffic_of(interface_id: str) -> str:
    """Return the query for what one network interface talked to, by destination port, in few characters, for a link.

    It reads both formats: the pattern begins in the middle of a record, at the interface, and its last ``*`` takes
    whatever follows.
    """
    names = "a,host,b,port,protocol,c,size,d,e,action,f"
    return "\n".join(
        [
            f'parse @message "{interface_id}{" *" * len(names.split(","))}" as {names}',
            "|filter ispresent(host)",
            "|stats count(*) as flows,count_distinct(host) as hosts,sum(size) as bytes by port,protocol,action",
            "|sort flows desc",
        ]
    )


@cache
def saved_queries(name: FormatName) -> Mapping[str, str]:
    """Return the queries that are saved for the log group, by title; their texts are in ``saved_queries/``."""
    files = sorted((Path(__file__).parent / "saved_queries").glob("*.txt"))
    bodies = {file.stem.replace("-", " "): file.read_text(encoding="utf-8").rstrip("\n") for file in files}
    return {title: f"{parse_line(name)}\n{body}" for title, body in bodies.items()}
