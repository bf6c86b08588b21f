import json
import re
from functools import cache
from itertools import product
from typing import Any

import pytest
from botocore.model import ListShape, StringShape, StructureShape
from findings import (
    HOSTILE,
    PLAIN,
    RECORDED,
    Event,
    events,
    finding_shape,
    key,
    members,
    recorded,
    shape_at,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonpath_ng.parser import parse as parse_path

from threatmon.model import console_urls, names, queries
from threatmon.model.email import TEMPLATE_QUOTA, InvalidMessageError, Transformer, mail, render
from threatmon.model.severity import BANDS, Band

LOW, MEDIUM, HIGH, CRITICAL = BANDS
GROUP = "/threat-monitor/dev/flow-logs"
DASHBOARD = "threat-monitor-dev"
PARTITIONS = ["aws", "aws-us-gov", "aws-cn"]
FULL = mail(MEDIUM, "aws", "example-prod", GROUP, DASHBOARD)
INTERFACE = "eni-0123456789abcdef0"


def lines(text: str) -> list[str]:
    """Return the lines of a mail, each of which has to be a JSON string."""
    decoded = [json.loads(line) for line in text.split("\n")]
    assert all(isinstance(line, str) for line in decoded)
    return decoded


def fields(text: str) -> dict[str, str]:
    """Return the labelled lines of a mail, several blanks as one."""
    labelled = [line.split(": ", maxsplit=1) for line in lines(text)[2:] if line]
    return {label: " ".join(value.split()) for label, value in labelled}


def with_value(path: str, value: Any) -> Event:
    """Make an event that holds nothing but ``value`` at a JSONPath."""
    for name, index in reversed(re.findall(r"\.(\w+)|\[(\d+)\]", path)):
        value = {name: value} if name else [*([None] * int(index)), value]
    return value


# -- the mail of each recorded finding --------------------------------------------------------------------------------


def test_the_mail_of_a_port_scan() -> None:
    assert lines(render(FULL, recorded("ec2_portscan"))) == [
        "MEDIUM: Recon:EC2/Portscan",
        "Outbound portscan from EC2 instance i-0abcd1234ef567890.",
        "",
        "Severity: MEDIUM (5)",
        "Account: 111122223333 (example-prod)",
        "Region: eu-west-1",
        "Resource: Instance i-0abcd1234ef567890" + " " * 11,
        "Remote: 198.51.100.7" + " " * 5,
        "First seen: 2026-09-14T09:31:02.000Z",
        "Last seen: 2026-09-14T09:44:57.000Z",
        "Count: 3",
        "Finding id: 1ab92989eaf0e742df4a014d5c0a8841",
        "",
        "The finding: https://console.aws.amazon.com/guardduty/home?region=eu-west-1"
        "#/findings?search=id%3D1ab92989eaf0e742df4a014d5c0a8841 ",
        "About this finding type: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-active.html"
        "#:~:text=Recon:EC2/Portscan ",
        "Its traffic by destination port: "
        + console_urls.logs_insights(
            "aws",
            "eu-west-1",
            GROUP,
            queries.by_destination_port(INTERFACE),
            start="2026-09-14T09:31:02.000Z",
            end="2026-09-14T09:51:12.402Z",
        )
        + " ",
        "Dashboard and saved queries: https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
        "#dashboards/dashboard/threat-monitor-dev ",
    ]


@pytest.mark.parametrize(
    ("name", "band", "severity", "resource", "remote", "count"),
    [
        ("ec2_portscan_sample", MEDIUM, "MEDIUM (5)", "Instance i-99999999", "198.51.100.7", "1"),
        ("eks", HIGH, "HIGH (8)", "EKSCluster example-cluster", "198.51.100.42", "2"),
        ("iam_user", LOW, "LOW (2)", "AccessKey example-deploy-role", "198.51.100.23", "1"),
    ],
)
def test_the_mails_of_the_other_recorded_findings(
    name: str, band: Band, severity: str, resource: str, remote: str, count: str
) -> None:
    event = recorded(name)
    text = render(mail(band, "aws"), event)
    shown, detail = fields(text), event["detail"]
    assert lines(text)[:3] == [f"{band.name.upper()}: {detail['type']}", detail["title"], ""]
    assert {label: shown[label] for label in ("Severity", "Account", "Region", "Resource", "Remote", "Count")} == {
        "Severity": severity,
        "Account": "111122223333",
        "Region": "eu-west-1",
        "Resource": resource,
        "Remote": remote,
        "Count": count,
    }
    assert shown["Finding id"] == detail["id"]
    assert shown["The finding"].endswith(f"#/findings?search=id%3D{detail['id']}")
    assert not {"Its traffic by destination port", "Dashboard and saved queries"} & set(shown)


@pytest.mark.parametrize(
    ("group", "dashboard", "present"),
    [
        (GROUP, None, ["Its traffic by destination port"]),
        (None, DASHBOARD, ["Dashboard and saved queries"]),
        (GROUP, DASHBOARD, ["Its traffic by destination port", "Dashboard and saved queries"]),
    ],
)
def test_the_mail_links_to_the_log_group_and_the_dashboard_that_are_named(
    group: str | None, dashboard: str | None, present: list[str]
) -> None:
    shown = fields(render(mail(HIGH, "aws", None, group, dashboard), recorded("ec2_portscan")))
    assert list(shown)[-1 - len(present) :] == ["About this finding type", *present]


@pytest.mark.parametrize("name", RECORDED)
def test_a_mail_never_shows_the_description(name: str) -> None:
    assert recorded(name)["detail"]["description"] not in render(FULL, recorded(name))
    assert "description" not in "".join(FULL.input_paths.values())


@pytest.mark.parametrize("name", RECORDED)
def test_a_link_is_one_word_and_ends_before_the_closing_quote(name: str) -> None:
    links = [line for line in render(FULL, recorded(name)).split("\n") if "https://" in line]
    assert len(links) == 4
    for line in links:
        assert re.fullmatch(r"\"[^:]+: https://[^\s\"'()<>\[\]{}`^|\\]+ \"", line)


# -- the naming of the model ------------------------------------------------------------------------------------------


def unknown_keys(value: Any, shape: Any, path: str = "") -> list[str]:
    if isinstance(shape, ListShape):
        return [unknown for item in value or [] for unknown in unknown_keys(item, shape.member, f"{path}[]")]
    if not isinstance(shape, StructureShape) or not value:
        return []
    known = members(shape)
    return [
        unknown
        for name, item in value.items()
        for unknown in (unknown_keys(item, known[name], f"{path}.{name}") if name in known else [f"{path}.{name}"])
    ]


def assert_the_model_knows(detail: Event) -> None:
    unknown = unknown_keys(detail, finding_shape())
    assert [path for path in unknown if not path.startswith(".service.additionalInfo.")] == []
    assert {key(member, finding_shape().members[member]) for member in finding_shape().required_members} <= set(detail)


@pytest.mark.parametrize("name", RECORDED)
def test_the_models_names_are_those_of_the_recorded_events(name: str) -> None:
    assert_the_model_knows(recorded(name)["detail"])
    assert key("Id", finding_shape().members["Id"]) == "id"


@pytest.mark.parametrize("path", FULL.input_paths.values())
def test_every_input_path_leads_to_a_value_of_the_model(path: str) -> None:
    shape = shape_at(path)
    assert shape is not None
    assert isinstance(shape, StringShape) or shape.type_name in {"double", "integer"}


@pytest.mark.parametrize(
    "path", ["$.detail.acountId", "$.detail.service[0]", "$.detail.id.x", "$.account", "$.detail-id"]
)
def test_a_path_with_a_typing_mistake_leads_nowhere_in_the_model(path: str) -> None:
    assert shape_at(path) is None


# -- any finding ------------------------------------------------------------------------------------------------------


json_path = cache(parse_path)


def value_at(event: Event, path: str) -> str:
    """Return what a path finds, by another implementation of JSONPath."""
    found = [match.value for match in json_path(path).find(event)]
    if not found or found[0] is None:
        return ""
    return found[0] if isinstance(found[0], str) else json.dumps(found[0])


def filled(transformer: Transformer, event: Event) -> str:
    text = transformer.input_template
    for name, path in transformer.input_paths.items():
        text = text.replace(f"<{name}>", value_at(event, path))
    return text


@given(events(), st.sampled_from(BANDS), st.sampled_from(PARTITIONS))
@settings(max_examples=60)
def test_any_finding_becomes_lines_of_json_text_with_blanks_for_what_it_lacks(
    event: Event, band: Band, partition: str
) -> None:
    assert_the_model_knows(event["detail"])
    transformer = mail(band, partition, "example-prod", GROUP, DASHBOARD)
    text = render(transformer, event)
    shown = lines(text)
    assert len(shown) == transformer.input_template.count("\n") + 1
    assert not set(text) & set("<>")
    assert text == filled(transformer, event)
    assert shown[0] == f"{band.name.upper()}: {event['detail']['type']}"


@pytest.mark.parametrize(("name", "path"), FULL.input_paths.items())
def test_each_path_alone_fills_its_places_and_leaves_the_others_blank(name: str, path: str) -> None:
    text = render(FULL, with_value(path, "here-it-is"))
    expected = re.sub(r"<\w+>", "", FULL.input_template.replace(f"<{name}>", "here-it-is"))
    assert "here-it-is" in text
    assert text == expected


IP = {"remoteIpDetails": {"ipAddressV4": "198.51.100.7", "ipAddressV6": ""}}


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        ({"instanceDetails": {"instanceId": "i-0abcd1234ef567890", "imageId": "ami-1"}}, "i-0abcd1234ef567890"),
        ({"accessKeyDetails": {"userName": "deploy", "accessKeyId": "ASIAEXAMPLE"}}, "deploy"),
        ({"s3BucketDetails": [{"name": "logs", "arn": "arn:aws:s3:::logs"}, {"name": "other"}]}, "logs"),
        ({"eksClusterDetails": {"name": "blue", "vpcId": "vpc-1"}}, "blue"),
        ({"ecsClusterDetails": {"name": "web", "status": "ACTIVE"}}, "web"),
        ({"containerDetails": {"name": "app", "id": "c1"}}, "app"),
        ({"lambdaDetails": {"functionName": "resize", "functionArn": "arn:aws:lambda:x"}}, "resize"),
        ({"rdsDbInstanceDetails": {"dbInstanceIdentifier": "orders", "engine": "Aurora"}}, "orders"),
        ({"rdsLimitlessDbDetails": {"dbShardGroupIdentifier": "shards", "engine": "Aurora"}}, "shards"),
        ({"ebsSnapshotDetails": {"snapshotArn": "arn:aws:ec2:::snapshot/snap-1"}}, "arn:aws:ec2:::snapshot/snap-1"),
        ({"ec2ImageDetails": {"imageArn": "arn:aws:ec2:::image/ami-1"}}, "arn:aws:ec2:::image/ami-1"),
        ({"recoveryPointDetails": {"recoveryPointArn": "arn:aws:backup:::1"}}, "arn:aws:backup:::1"),
    ],
)
def test_a_resource_is_named_as_its_owner_knows_it(details: Event, shown: str) -> None:
    event = {"detail": {"resource": {"resourceType": "Thing", **details}}}
    assert fields(render(FULL, event))["Resource"] == f"Thing {shown}"


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        ({"networkConnectionAction": IP}, "198.51.100.7"),
        ({"portProbeAction": {"portProbeDetails": [IP, {}]}}, "198.51.100.7"),
        ({"awsApiCallAction": IP}, "198.51.100.7"),
        ({"kubernetesApiCallAction": IP}, "198.51.100.7"),
        ({"rdsLoginAttemptAction": IP}, "198.51.100.7"),
        ({"dnsRequestAction": {"domain": "evil.example", "protocol": "UDP"}}, "evil.example"),
        ({}, ""),
    ],
)
def test_the_remote_end_of_each_kind_of_action_is_shown(action: Event, shown: str) -> None:
    assert fields(render(FULL, {"detail": {"service": {"action": action}}}))["Remote"] == shown


@pytest.mark.parametrize("event", [{}, {"detail": {}}, {"detail": None}, {"detail": {"resource": [], "service": "x"}}])
def test_a_finding_without_anything_is_a_form_left_blank(event: Event) -> None:
    shown = lines(render(FULL, event))
    assert shown[:8] == [
        "MEDIUM: ",
        "",
        "",
        "Severity: MEDIUM ()",
        "Account:  (example-prod)",
        "Region: ",
        "Resource: " + " " * 12,
        "Remote: " + " " * 5,
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(5, "5"), (5.5, "5.5"), (True, "true"), (None, ""), ("", ""), ("é ß 東京", "é ß 東京")],
)
def test_a_value_is_shown_as_json_writes_it_without_quotes(value: Any, shown: str) -> None:
    assert fields(render(FULL, with_value("$.detail.severity", value)))["Severity"] == f"MEDIUM ({shown})"


# -- hostile values ---------------------------------------------------------------------------------------------------


def renders_or_is_refused(event: Event) -> None:
    try:
        text = render(FULL, event)
    except InvalidMessageError:
        return
    lines(text)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(HOSTILE, inner, max_size=2),
    max_leaves=4,
)


@given(events(HOSTILE))
@settings(max_examples=50)
def test_a_finding_with_hostile_text_gives_valid_lines_or_is_refused(event: Event) -> None:
    renders_or_is_refused(event)


@given(st.sampled_from(list(FULL.input_paths.values())), JSON_VALUES)
@example("$.detail.title", '"\n' + "[" * 100_000 + '\n"')
@example("$.detail.title", '"\n' + "1" * 10_000 + '\n"')
@settings(max_examples=150)
def test_any_value_at_any_path_gives_valid_lines_or_is_refused(path: str, value: Any) -> None:
    renders_or_is_refused(with_value(path, value))


@pytest.mark.parametrize("title", ['a "b"', "a\\", "two\nlines", "a\tb", "a\0b", '"\n1\n"', '", "', ["a"], {"a": 1}])
def test_a_title_eventbridge_would_refuse_is_refused(title: Any) -> None:
    with pytest.raises(InvalidMessageError, match="is not a JSON text"):
        render(FULL, with_value("$.detail.title", title))


def test_a_title_that_looks_like_a_placeholder_is_not_filled() -> None:
    event = recorded("ec2_portscan")
    event["detail"]["title"] = "<findingId>"
    assert lines(render(FULL, event))[1] == "<findingId>"


# -- the template -----------------------------------------------------------------------------------------------------

# The longest that a stack (100 characters, pulumi.com/docs/iac/concepts/stacks) and an alias may bring.
LONGEST_STACK = "s" * 100


@pytest.mark.parametrize("alias", [None, "a" * 64, "é" * 64, "\U0001f512" * 64, "&%$'{}()" * 8])
@pytest.mark.parametrize(
    "links", [(), *((names.log_group(stack), names.dashboard(stack)) for stack in ("dev", LONGEST_STACK))]
)
def test_every_template_keeps_within_eventbridges_limits(alias: str | None, links: tuple[str, ...]) -> None:
    for band, partition in product(BANDS, PARTITIONS):
        paths, template = mail(band, partition, alias, *links)
        # Twice: characters outside the basic plane count as two where UTF-16 is counted.
        assert len(template.encode("utf-16-le")) / 2 <= TEMPLATE_QUOTA == 8192
        assert len(paths) <= 100
        assert set(re.findall(r"<([^<>]*)>", template)) == set(paths)
        assert all(re.fullmatch(r"(?!AWS|aws)[A-Za-z0-9_]+", name) for name in paths)
        assert all(re.fullmatch(r"\$(\.[A-Za-z0-9_]+(\[\d+\])?)+", path) for path in paths.values())
        assert lines(template)


@given(PLAIN.filter(lambda text: text.isprintable() and text))
def test_an_alias_is_shown_as_it_is(alias: str) -> None:
    text = render(mail(LOW, "aws", alias), recorded("ec2_portscan"))
    assert f"Account: 111122223333 ({alias})" in lines(text)
