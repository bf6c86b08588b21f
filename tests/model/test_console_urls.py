import re
from string import printable
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from threatmon.model import console_urls, queries

HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
}
# Where a mail client that turns text into links takes a link to end, or does not start one.
ENDS_A_LINK = set("\"'()<>[]{}`^|\\ \t\r\n")


def query_detail(url: str) -> dict[str, Any]:
    """The query a Logs Insights link opens, read as the console does: two layers of percent-encoding, then its own."""
    fragment = urlsplit(url).fragment
    encoded = fragment.removeprefix("logsV2:logs-insights$3FqueryDetail$3D")
    assert encoded != fragment
    rest = unquote(unquote(encoded.replace("$", "%")))

    def take(pattern: str) -> str:
        nonlocal rest
        match = re.match(pattern, rest)
        assert match, rest
        rest = rest[match.end() :]
        return match[0]

    def value() -> Any:
        if rest.startswith("~'"):
            take("~'")
            return re.sub(r"\*([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), take(r"[^~)]*"))
        take(r"~\(")
        if rest.startswith("~"):
            items: list[Any] = []
            while rest.startswith("~"):
                items.append(value())
            take(r"\)")
            return items
        members: dict[str, Any] = {}
        while not rest.startswith(")"):
            name = take(r"\w+")
            members[name] = value()
            if not rest.startswith(")"):
                take(r"~(?=\w)")
        take(r"\)")
        return members

    detail = value()
    assert not rest
    return detail


def logs_insights(query: str, group: str = "/threat-monitor/dev/flow-logs", partition: str = "aws") -> str:
    start, end = "2026-09-14T09:31:02.000Z", "2026-09-14T09:51:12.402Z"
    return console_urls.logs_insights(partition, "eu-west-1", group, query, start=start, end=end)


@pytest.mark.parametrize("partition", HOSTS)
def test_each_partition_has_its_console(partition: str) -> None:
    links = [
        console_urls.finding(partition, "eu-west-1", "1ab9"),
        console_urls.dashboard(partition, "eu-west-1", "threat-monitor-dev"),
        logs_insights("fields @message", partition=partition),
    ]
    for link, service in zip(links, ["guardduty", "cloudwatch", "cloudwatch"], strict=True):
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc, parts.path) == ("https", HOSTS[partition], f"/{service}/home")
        assert parts.query == "region=eu-west-1"


def test_a_finding_opens_by_its_id() -> None:
    url = console_urls.finding("aws", "eu-west-1", "1ab92989")
    assert url == "https://console.aws.amazon.com/guardduty/home?region=eu-west-1#/findings?search=id%3D1ab92989"


def test_a_dashboard_opens_by_its_name() -> None:
    url = console_urls.dashboard("aws-cn", "cn-north-1", "threat monitor")
    assert url == (
        "https://console.amazonaws.cn/cloudwatch/home?region=cn-north-1#dashboards/dashboard/threat%20monitor"
    )


def test_a_finding_type_opens_where_its_page_names_it() -> None:
    url = console_urls.finding_type("Recon:EC2/Portscan")
    page = "https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-active.html"
    assert url == f"{page}#:~:text=Recon:EC2/Portscan"


@given(st.text(printable), st.from_regex(r"[-_/#.A-Za-z0-9]{1,80}", fullmatch=True))
@example("fields ~'()*$%25 \n|", "/a")
def test_a_logs_insights_link_decodes_to_its_query_group_and_time(query: str, group: str) -> None:
    query = query.replace("<", "").replace(">", "")  # left alone, as placeholders of a template
    url = logs_insights(query, group)
    assert query_detail(url) == {
        "end": "2026-09-14T09:51:12.402Z",
        "start": "2026-09-14T09:31:02.000Z",
        "timeType": "ABSOLUTE",
        "tz": "UTC",
        "editorString": query,
        "source": [group],
    }
    assert not set(url) & ENDS_A_LINK


def test_a_placeholder_survives_so_that_the_mail_can_fill_it() -> None:
    url = console_urls.logs_insights(
        "aws", "<region>", "/g", queries.traffic_of("<interfaceId>"), start="<firstSeen>", end="<updatedAt>"
    )
    assert re.findall(r"<\w+>", url) == ["<region>", "<updatedAt>", "<firstSeen>", "<interfaceId>"]
    filled = re.sub("<interfaceId>", "eni-0123456789abcdef0", url)
    query = query_detail(filled.replace("<", "").replace(">", ""))["editorString"]
    assert query == queries.traffic_of("eni-0123456789abcdef0")


def test_no_link_has_a_character_at_which_a_mail_client_ends_it() -> None:
    for link in (
        console_urls.finding("aws", "eu-west-1", "1ab92989eaf0e742df4a014d5c0a8841"),
        console_urls.dashboard("aws", "eu-west-1", "threat monitor (dev)"),
        console_urls.finding_type("Backdoor:EC2/C&CActivity.B!DNS"),
        logs_insights(queries.traffic_of("eni-0123456789abcdef0")),
    ):
        assert not set(link) & ENDS_A_LINK, link
        assert link[-1] not in ".,;:!?"
