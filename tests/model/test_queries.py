import re
from typing import get_args

import pytest

from threatmon.model.queries import FIELDS, FormatName, by_destination_port, log_format, saved_queries, traffic_of

# https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html, the default format and its order
DEFAULT = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
VERSIONS_3_TO_5 = (
    "vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id"
    " pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path"
)
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
INTERFACE = "eni-0123456789abcdef0"

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
COMMANDS = {"parse", "filter", "stats", "sort", "limit"}
FUNCTIONS = {"count", "count_distinct", "sum", "bin", "isIpv4InSubnet"}
WORDS = {"as", "by", "and", "or", "not", "desc", "asc", "in"}

QUERIES: dict[str, tuple[FormatName, str]] = {
    **{f"{title} ({name})": (name, query) for name in FORMATS for title, query in saved_queries(name).items()},
    **{f"one interface ({name})": (name, by_destination_port(INTERFACE)) for name in FORMATS},
}


def parsed_aliases(query: str) -> tuple[int, list[str]]:
    """Return how many ``*`` the query's parse command has, and its aliases."""
    match = re.match(r'parse @message "([^"]*)" as (.+)\n', query)
    assert match
    return match[1].split().count("*"), re.split(r",\s*", match[2])


def test_the_extended_format_starts_with_the_default_fields_and_has_known_ones() -> None:
    assert " ".join(FIELDS["default"]) == DEFAULT
    assert FIELDS["extended"][: len(FIELDS["default"])] == FIELDS["default"]
    added = FIELDS["extended"][len(FIELDS["default"]) :]
    assert set(added) <= set(VERSIONS_3_TO_5.split())
    assert len(set(FIELDS["extended"])) == len(FIELDS["extended"]) == 27


def test_an_investigation_finds_instance_flags_direction_and_the_packets_addresses() -> None:
    wanted = {"instance-id", "subnet-id", "vpc-id", "tcp-flags", "flow-direction", "pkt-srcaddr", "pkt-dstaddr"}
    assert wanted <= set(FIELDS["extended"])


def test_the_log_format_has_each_field_in_braces_and_the_default_one_is_left_to_aws() -> None:
    assert log_format("extended") == "${" + "} ${".join(FIELDS["extended"]) + "}"
    assert log_format("default") is None


@pytest.mark.parametrize("title", QUERIES)
def test_a_query_splits_a_record_of_its_format_as_it_is_written(title: str) -> None:
    name, query = QUERIES[title]
    stars, aliases = parsed_aliases(query)
    assert stars == len(aliases) == len(set(aliases))
    assert all(re.fullmatch(r"[a-z][a-z_]*", alias) for alias in aliases)
    record = " ".join(f"value-of-{field}" for field in FIELDS[name])
    values = record.split(" ", maxsplit=stars - 1)  # the last star takes the rest
    for alias, value, field in zip(aliases, values, FIELDS[name], strict=False):
        assert alias in {field.replace("-", "_"), "rest"}
        assert value == f"value-of-{field}" or alias == "rest"


@pytest.mark.parametrize("title", QUERIES)
def test_every_name_a_query_uses_is_a_field_of_its_format_or_made_before(title: str) -> None:
    _, query = QUERIES[title]
    _, aliases = parsed_aliases(query)
    first, *commands = query.split("\n")
    assert first.startswith("parse ")
    known = set(aliases) | {"@timestamp", "@message"}
    for command in commands:
        assert command.startswith("| ")
        verb, _, rest = command.removeprefix("| ").partition(" ")
        assert verb in COMMANDS
        text = re.sub(r'"[^"]*"', "", rest)
        made = set(re.findall(r"\bas (\w+)", text))
        called = set(re.findall(r"(\w+)\(", text))
        used = set(re.findall(r"@?[A-Za-z_]\w*", re.sub(r"\bbin\([^)]*\)", "", text))) - made - called - WORDS
        assert used <= known, command
        assert called <= FUNCTIONS
        # After stats only what it made and what it grouped by is left.
        known = made | (used & set(re.findall(r"\w+", text.partition(" by ")[2]))) if verb == "stats" else known
        assert text.count("(") == text.count(")")
    assert query.count('"') % 2 == 0


@pytest.mark.parametrize("name", FORMATS)
def test_the_query_of_a_link_reads_the_records_of_its_interface_alone(name: FormatName) -> None:
    match = re.match(r'parse @message "([^"]*) \*" as (\S+)\n', traffic_of(INTERFACE))
    assert match
    pattern = "(.*?)".join(map(re.escape, match[1].split("*"))) + " (.*)"  # the last star takes the rest
    record = " ".join(INTERFACE if field == "interface-id" else f"value-of-{field}" for field in FIELDS[name])
    found = re.search(pattern, record)
    assert found
    values = dict(zip(match[2].split(","), found.groups(), strict=True))
    assert {alias: value for alias, value in values.items() if len(alias) > 1} == {
        "host": "value-of-dstaddr",
        "port": "value-of-dstport",
        "protocol": "value-of-protocol",
        "size": "value-of-bytes",
        "action": "value-of-action",
    }
    assert not re.search(pattern, record.replace(INTERFACE, "eni-0fedcba9876543210"))


@pytest.mark.parametrize("title", QUERIES)
def test_a_query_fits_and_is_plain_text(title: str) -> None:
    _, query = QUERIES[title]
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
    assert len(query) <= 10_000
    assert query.isascii()


@pytest.mark.parametrize("name", FORMATS)
def test_the_saved_queries_answer_an_investigators_questions(name: FormatName) -> None:
    assert set(saved_queries(name)) == {
        *("top talkers", "by destination port", "port scans", "port sweeps", "rejected", "bytes out"),
        "gaps in the record",
    }
