"""What is a rule in the definition. How it runs is in the tests of the emulator."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from findings import RECORDED, recorded
from hypothesis import given
from hypothesis import strategies as st
from jsonata import Jsonata

from threatmon.evaluation.jsonata_expressions import evaluate, resolve
from threatmon.model import alarms
from threatmon.model.channels import CHANNELS, FormattedChannel
from threatmon.model.finding_types import catalogue
from threatmon.model.location import Location
from threatmon.model.settings import AlertSettings, SlackSettings, TeamsSettings
from threatmon.model.severity import SeverityName
from threatmon.model.state_machine import QUOTA, Definition, branch_name, definition, sent_channels

LOCATIONS = [
    Location("111122223333", "eu-west-1", "aws", "amazonaws.com"),
    Location("111122223333", "us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    Location("111122223333", "cn-north-1", "aws-cn", "amazonaws.com.cn"),
]
QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/dead-letters"
UUID = "01234567-89ab-cdef-0123-456789abcdef"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "detail": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("id", "type", "region", "severity", "title", "accountId"), _VALUES)
        )
        | _VALUES,
        "source": _VALUES,
        "region": _VALUES,
    },
)


def topic(channel: FormattedChannel) -> str:
    return f"arn:aws:sns:eu-west-1:111122223333:alerts-{channel}"


def settings(minimum: SeverityName | None = None, **alerts: Any) -> AlertSettings:
    return AlertSettings(
        slack=SlackSettings(workspace_id="T0", channel_id="C0", minimum_severity=minimum),
        teams=TeamsSettings(tenant_id=UUID, team_id=UUID, channel_id="19:a@thread.tacv2", minimum_severity=minimum),
        **alerts,
    )


def defined(alerts: AlertSettings, location: Location = LOCATIONS[0]) -> Definition:
    return definition(
        location,
        alerts,
        topic_arns={channel: topic(channel) for channel in CHANNELS},
        queue_url=QUEUE,
        log_group_name="/threat-monitor/dev/flow-logs",
        dashboard_name="threat-monitor-dev",
    )


@cache
def whole(minimum: SeverityName | None = None) -> Definition:
    return defined(settings(minimum))


def branches(machine: Definition) -> dict[FormattedChannel, dict[str, Any]]:
    return dict(zip(CHANNELS, machine["States"]["Channels"]["Branches"], strict=True))


def expressions(value: object) -> Iterator[str]:
    """Yield each expression within a value."""
    if isinstance(value, str) and value.startswith("{%"):
        yield value.removeprefix("{%").removesuffix("%}")
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from expressions(item)
    elif isinstance(value, list):
        for item in value:
            yield from expressions(item)


def successors(state: Definition) -> list[str]:
    """Every state that may come after one."""
    direct = [state[key] for key in ("Next", "Default") if key in state]
    return [*direct, *(entry["Next"] for key in ("Choices", "Catch") for entry in state.get(key, []))]


# -- the shape --------------------------------------------------------------------------------------------------------


def test_state_names_are_unique_in_the_whole_machine_and_ones_that_step_functions_takes() -> None:
    machine = whole()
    names = [*machine["States"], *(name for branch in branches(machine).values() for name in branch["States"])]
    assert len(names) == len(set(names))
    # https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
    assert max(map(len, names)) <= 80


def test_every_state_is_reached_and_leads_only_to_states_beside_it() -> None:
    machine = whole()
    for scope in (machine, *branches(machine).values()):
        reached = {scope["StartAt"], *(name for state in scope["States"].values() for name in successors(state))}
        assert reached == scope["States"].keys()


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_branch_never_fails(channel: FormattedChannel) -> None:
    branch = branches(whole())[channel]["States"]
    ends = [name for name, state in branch.items() if not successors(state)]
    assert [branch[name] for name in ends] == [{"Type": "Succeed"}]
    assert {state["Type"] for state in branch.values()} == {"Choice", "Pass", "Succeed", "Task"}
    for state in branch.values():
        if state["Type"] == "Task":
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
        # What happens after a state's work cannot be caught: it depends on no event but as a whole.
        outputs = [state.get("Output"), *(caught.get("Output") for caught in state.get("Catch", []))]
        assert set(expressions(outputs)) <= {" $states.input "}


def test_an_execution_fails_only_if_a_message_is_lost_and_then_names_its_channels() -> None:
    states = whole()["States"]
    [choice] = states["All delivered?"]["Choices"]
    done = [{"channel": channel, "lost": False} for channel in CHANNELS]
    lost = [done[0], *({**output, "lost": True} for output in done[1:])]
    for outputs, expected in ((done, False), (lost, True)):
        assert resolve(choice["Condition"], {"states": {"input": outputs}}) == expected
    assert resolve(states["Lost"]["Cause"], {"states": {"input": lost}}) == "slack,teams"
    assert resolve(states["Lost"]["Cause"], {"states": {"input": [done[0], lost[1]]}}) == "slack"
    assert [name for name, state in states.items() if state["Type"] == "Fail"] == [choice["Next"]] == ["Lost"]


def test_a_branch_sends_what_cannot_be_formatted_plain_counts_it_and_queues_what_cannot_be_sent() -> None:
    for channel, branch in branches(whole()).items():
        name = branch_name(channel)
        states = branch["States"]
        formatted, plain = states[name], states[f"{name} plain"]
        assert formatted["Catch"][0]["Next"] == f"{name} plain"
        assert plain["Next"] == f"{name} counted"
        assert plain["Catch"][0]["Next"] == f"{name} to queue"
        assert resolve(formatted["Catch"][0]["Output"], {"states": {"input": 1}}) == 1
        assert formatted["Resource"] == plain["Resource"] == "arn:aws:states:::sns:publish"
        assert states[f"{name} to queue"]["Resource"] == "arn:aws:states:::sqs:sendMessage"
        assert f"'{topic(channel)}'" in formatted["Arguments"]
        assert plain["Arguments"]["TopicArn"] == topic(channel)
        assert states[f"{name} to queue"]["Arguments"]["QueueUrl"] == QUEUE


def test_only_what_sns_has_not_accepted_is_tried_again() -> None:
    for branch in branches(whole()).values():
        for state in branch["States"].values():
            for retry in state.get("Retry", []):
                # Else the reader could get the message twice.
                assert not {"States.ALL", "States.TaskFailed", "States.Timeout"} & set(retry["ErrorEquals"])
                waits = [
                    retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt
                    for attempt in range(retry["MaxAttempts"])
                ]
                assert 2 * sum(waits) < whole()["TimeoutSeconds"]


def test_what_was_sent_shows_in_the_output_of_the_first_state_that_has_sent_it() -> None:
    event = recorded("ec2_portscan")
    for channel, branch in branches(whole()).items():
        name = branch_name(channel)
        outputs = {
            state: resolve(entry.get("Output"), {"states": {"input": event}})
            for state, entry in branch["States"].items()
        }
        sent = {state for state, output in outputs.items() if sent_channels([event, output]) == {channel}}
        assert sent == {f"{name}{end}" for end in ("", " skipped", " plain", " counted", " to queue")}
        [caught] = branch["States"][f"{name} to queue"]["Catch"]
        assert sent_channels([event, caught["Output"]]) == set()


def test_the_alarm_on_plain_messages_watches_what_is_counted() -> None:
    for channel, branch in branches(whole()).items():
        arguments = branch["States"][f"{branch_name(channel)} counted"]["Arguments"]
        counted = resolve(arguments, {"states": {"context": {"StateMachine": {"Name": "threat-monitor-dev"}}}})
        alarm = alarms.PLAIN_MESSAGES
        assert counted == {
            "Namespace": alarm.namespace,
            "MetricData": [
                {
                    "MetricName": alarm.metrics[0],
                    "Dimensions": [{"Name": alarm.dimension, "Value": "threat-monitor-dev"}],
                    "Unit": "Count",
                    "Value": 1,
                }
            ],
        }


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda location: location.partition)
def test_every_integration_is_of_the_partition(location: Location) -> None:
    resources = {
        state["Resource"]
        for branch in branches(defined(settings(), location)).values()
        for state in branch["States"].values()
        if "Resource" in state
    }
    integrations = ("sns:publish", "sqs:sendMessage", "aws-sdk:cloudwatch:putMetricData")
    assert resources == {f"arn:{location.partition}:states:::{name}" for name in integrations}


def test_a_channel_that_is_not_there_has_no_branch() -> None:
    machine = definition(LOCATIONS[0], AlertSettings(), topic_arns={"mail": topic("mail")}, queue_url=QUEUE)
    [branch] = machine["States"]["Channels"]["Branches"]
    assert branch["StartAt"] == "Mail wanted?"
    assert not re.search("slack|teams", json.dumps({**branch, "States": list(branch["States"])}), re.IGNORECASE)


# -- quotas -----------------------------------------------------------------------------------------------------------


def test_the_largest_definition_is_one_that_step_functions_takes() -> None:
    address = "https://runbooks.example.com/"
    runbooks = {name: address + "x" * (500 - len(address)) for name in sorted(catalogue(), key=len)[-200:]}
    text = json.dumps(defined(settings("high", runbooks=runbooks, account_alias="x" * 64)))
    assert len(runbooks) == 200
    # https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    assert len(text.encode()) < 1024 * 1024


def test_every_expression_is_one_that_can_be_parsed_and_ends_where_it_should() -> None:
    runbooks = {"Recon:*": "https://runbooks.example.com/%}/{%?a=$states.input"}
    found = list(expressions(defined(settings("high", runbooks=runbooks, account_alias="%} '\"\\ {%"))))
    assert len(found) > len(CHANNELS)
    for expression in found:
        assert "%}" not in expression
        Jsonata(expression)


# -- which messages are wanted ----------------------------------------------------------------------------------------


def wanted(channel: FormattedChannel, event: Mapping[str, Any], minimum: SeverityName | None = None) -> bool:
    branch = branches(whole(minimum))[channel]
    first = branch["States"][branch["StartAt"]]
    [choice] = first["Choices"]
    assert (choice["Next"], first["Default"]) == (branch_name(channel), f"{branch_name(channel)} skipped")
    return resolve(choice["Condition"], {"states": {"input": event}})


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_execution_for_certain_channels_sends_to_these_alone(channel: FormattedChannel) -> None:
    event = recorded("ec2_portscan")
    others = [other for other in CHANNELS if other != channel]
    assert wanted(channel, event)
    assert wanted(channel, {**event, "channels": [channel]})
    assert wanted(channel, {**event, "channels": list(CHANNELS)})
    assert not wanted(channel, {**event, "channels": others})
    assert not wanted(channel, {**event, "channels": []})


@pytest.mark.parametrize("channel", ["slack", "teams"])
@pytest.mark.parametrize(("minimum", "lowest"), [("medium", 4), ("high", 7), ("critical", 9)])
def test_a_chat_channel_gets_what_reaches_its_severity_and_what_has_no_usable_one(
    channel: FormattedChannel, minimum: SeverityName, lowest: int
) -> None:
    for severity in (1, 3.9, 4, 6.9, 7, 8.9, 9, 10, 99):
        assert wanted(channel, {"detail": {"severity": severity}}, minimum) == (severity >= lowest)
    for severity in (None, "1", [], [1], {}, True):
        assert wanted(channel, {"detail": {"severity": severity}}, minimum)
    for event in ({}, {"detail": {}}, {"detail": None}, {"detail": "x"}):
        assert wanted(channel, event, minimum)


@given(_EVENTS)
def test_no_event_leaves_open_whether_a_message_is_wanted(event: dict[str, Any]) -> None:
    assert [type(wanted(channel, event, "high")) for channel in CHANNELS] == [bool] * len(CHANNELS)


def test_the_severities_of_subscribers_are_none_of_the_machines_business() -> None:
    assert wanted("mail", {"detail": {"severity": 1}}, "critical")
    for minimum in (None, "low"):
        assert wanted("slack", {"detail": {"severity": 1}}, minimum)


# -- plain messages ---------------------------------------------------------------------------------------------------

CHARACTERS = ("x", '"', "\\", "\n", "ä", "\N{SNOWMAN}", "\N{GRINNING FACE}", "`", "\ufffe")
HUGE = [
    {"detail": {"type": character * 300, "id": character * 1000, "severity": 5, "description": character * 130_000}}
    for character in CHARACTERS
]


def plain_expressions(channel: FormattedChannel) -> list[str]:
    state = branches(whole())[channel]["States"][f"{branch_name(channel)} plain"]
    return list(expressions(state["Arguments"]))


def plain(channel: FormattedChannel, event: Mapping[str, Any]) -> dict[str, Any]:
    arguments = branches(whole())[channel]["States"][f"{branch_name(channel)} plain"]["Arguments"]
    return resolve(arguments, {"states": {"input": event}})


def queued(channel: FormattedChannel, event: Mapping[str, Any]) -> dict[str, Any]:
    arguments = branches(whole())[channel]["States"][f"{branch_name(channel)} to queue"]["Arguments"]
    return resolve(arguments, {"states": {"input": event}, "failure": "SNS.InvalidParameterException"})


def assert_sns_takes(message: Mapping[str, Any]) -> None:
    assert set(message["MessageAttributes"]) == {"severity"}
    attribute = message["MessageAttributes"]["severity"]
    assert attribute["DataType"] == "Number"
    assert 0 <= float(attribute["StringValue"]) <= 10
    assert re.fullmatch(r"[ -~\n]+", message["Message"])
    # As arguments of the state; SNS counts less.
    assert len(json.dumps(message)) <= QUOTA


@given(_EVENTS)
def test_no_event_makes_a_plain_mail_that_sns_refuses(event: dict[str, Any]) -> None:
    message = plain("mail", event)
    assert_sns_takes(message)
    assert re.fullmatch(r"\[UNFORMATTED\] GuardDuty finding[ -~]*", message["Subject"])
    assert len(message["Subject"]) <= 100


@given(_EVENTS)
def test_no_event_makes_a_plain_notification_that_chat_does_not_show(event: dict[str, Any]) -> None:
    message = plain("slack", event)
    assert_sns_takes(message)
    # https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    notification = json.loads(message["Message"])
    content = notification.pop("content")
    assert notification == {"version": "1.0", "source": "custom"}
    assert set(content) == {"textType", "title", "description"}
    assert content["textType"] == "client-markdown"
    assert len(content["title"]) <= 250
    assert len(content["description"]) <= 8000
    # Two fences, and nothing between them that could end the first.
    assert content["description"].count("`") == 6


@given(_EVENTS)
def test_every_event_can_wait_in_the_queue(event: dict[str, Any]) -> None:
    message = queued("mail", event)
    assert json.loads(message["MessageBody"]) is not None
    values = {name: attribute["StringValue"] for name, attribute in message["MessageAttributes"].items()}
    assert values == {"TARGET_ARN": topic("mail"), "CHANNEL": "mail", "ERROR_CODE": "SNS.InvalidParameterException"}


@pytest.mark.parametrize("event", HUGE, ids=lambda event: repr(event["detail"]["type"][0]))
def test_what_is_larger_than_a_message_may_be_still_reaches_a_person_shortened(event: dict[str, Any]) -> None:
    mail, notification = plain("mail", event), json.loads(plain("teams", event)["Message"])
    assert_sns_takes(mail)
    assert_sns_takes(plain("teams", event))
    assert len(mail["Subject"]) <= 100
    assert mail["Message"].endswith("... (cut)")
    assert notification["content"]["description"].endswith("... (cut)\n```")
    assert len(notification["content"]["description"]) <= 8000
    body = queued("mail", event)["MessageBody"]
    assert len(json.dumps(queued("mail", event), ensure_ascii=False).encode()) <= QUOTA
    assert json.loads(body)["shortened"] is True
    assert json.loads(body)["detail"]["severity"] == 5


@pytest.mark.parametrize("character", CHARACTERS, ids=repr)
@pytest.mark.parametrize("field", ["source", "detail-type", "region", "id", "severity", "title"])
def test_no_field_makes_a_message_that_is_too_large_for_a_state_which_nothing_could_catch(
    field: str, character: str
) -> None:
    for event in ({field: character * 130_000}, {"detail": {field: {"a": [character * 130_000]}}}):
        for arguments in (plain("mail", event), plain("slack", event), queued("mail", event)):
            assert len(json.dumps(arguments, ensure_ascii=False).encode()) <= QUOTA
        assert len(queued("mail", event)["MessageBody"]) < 5000


def test_engines_that_count_an_emoji_as_one_character_and_as_two_cut_at_the_same_place() -> None:
    for classes in re.findall(r"/(\[[^/]*\][^/]*)/", json.dumps([plain_expressions(channel) for channel in CHANNELS])):
        assert classes.endswith("+"), classes


@pytest.mark.parametrize("name", RECORDED)
def test_a_plain_mail_has_the_link_to_the_finding_and_the_whole_event(name: str) -> None:
    event = recorded(name)
    lines = plain("mail", event)["Message"].split("\n")
    detail = event["detail"]
    assert lines[0] == "This finding could not be formatted."
    assert lines[1].startswith("Finding: https://")
    assert detail["id"] in lines[1]
    assert detail["region"] in lines[1]
    assert json.loads(lines[3]) == event
    assert json.loads(queued("mail", event)["MessageBody"]) == event
    assert plain("mail", event)["Subject"] == f"[UNFORMATTED] GuardDuty finding {detail['type']}"[:100]
    assert float(plain("mail", event)["MessageAttributes"]["severity"]["StringValue"]) == detail["severity"]


@pytest.mark.parametrize("severity", [None, "5", -1, 11, 1e21, [5], {}, True])
def test_a_plain_mail_without_a_usable_severity_passes_every_filter(severity: Any) -> None:
    attributes = plain("mail", {"detail": {"severity": severity}})["MessageAttributes"]
    assert attributes["severity"]["StringValue"] == "10"


@pytest.mark.parametrize("detail", [{}, {"id": None}, {"id": ""}, {"id": "-"}, {"id": ["x"]}, {"id": {"a": 1}}])
def test_a_finding_without_an_id_gets_no_link_that_leads_nowhere(detail: Any) -> None:
    for channel in CHANNELS:
        assert "https://" not in plain(channel, {"detail": detail})["Message"]
    assert plain("mail", {"detail": detail})["Message"].startswith("This finding could not be formatted.\n\n{")


def test_an_id_cannot_lead_the_link_elsewhere() -> None:
    detail = {"id": "x) [y](https://evil.example", "region": "eu-west-1.evil.example/#"}
    for channel in CHANNELS:
        [link, *_] = re.findall(r"https://[^\s)]+", plain(channel, {"detail": detail})["Message"])
        assert link.startswith("https://console.aws.amazon.com/guardduty/home?region=eu-west-1evilexample#/findings?")
        assert link.count("evil") == 2  # the harmless characters of both


def test_the_reason_for_the_queue_is_that_of_the_last_failure() -> None:
    for channel, branch in branches(whole()).items():
        [caught] = branch["States"][f"{branch_name(channel)} plain"]["Catch"]
        [expression] = expressions(caught["Assign"])
        assert (
            evaluate(expression, {"states": {"errorOutput": {"Error": "SNS.NotFound", "Cause": ""}}}) == "SNS.NotFound"
        )
