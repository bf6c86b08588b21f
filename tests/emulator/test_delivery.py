"""What becomes of an event: by the rule, the machine and its role, the topics and their subscriptions, the queue."""

import json
from typing import Any

import pytest
from emulator.alerting_account import EMAIL, HOOK, PATTERN, AlertingAccount, allow, trust
from findings import recorded

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.delivery import EventDelivery, FailedDelivery, deliver
from threatmon.emulator.subscriptions import DEFAULT_SUBJECT
from threatmon.model.policies import key_policy

EVENT = recorded("ec2_portscan")
SEVERITY = "{'severity': {'DataType': 'Number', 'StringValue': $string($states.input.detail.severity)}}"
FORMATTER = (
    f"{{'Subject': $states.input.detail.type, 'Message': $states.input.detail.title, 'MessageAttributes': {SEVERITY}}}"
)
CARD = "{'Message': $string({'title': $states.input.detail.title})}"
PLAIN_SUBJECT = "[UNFORMATTED] GuardDuty finding Recon:EC2/Portscan"
BROKEN = "{'Message': $error('no')}"


@pytest.fixture
def bus(account: EmulatedAccount) -> AlertingAccount:
    return AlertingAccount(account, FORMATTER, raw=True)


def severe(severity: Any) -> dict[str, Any]:
    return {**EVENT, "detail": {**EVENT["detail"], "severity": severity}}


def readers(delivery: EventDelivery) -> list[str]:
    return [sent.endpoint for sent in delivery.notifications]


def test_a_matching_event_reaches_the_subscriber_as_the_machine_formats_it(bus: AlertingAccount) -> None:
    delivery = deliver(bus.account, EVENT)
    [mail] = delivery.notifications
    assert (mail.protocol, mail.endpoint) == ("email", EMAIL)
    assert (mail.subject, mail.body) == (EVENT["detail"]["type"], EVENT["detail"]["title"])
    [execution] = delivery.executions
    assert execution.run.succeeded
    assert execution.run.entered == ["Channels", "Mail wanted?", "Mail", "Mail done", "All delivered?", "Delivered"]
    assert delivery.dead_letters == delivery.lost == bus.dead_letters() == []


def test_an_event_that_matches_nothing_is_neither_sent_nor_queued(bus: AlertingAccount) -> None:
    delivery = deliver(bus.account, EVENT | {"source": "aws.ec2"})
    assert delivery.stopped_by == {"findings": 'source: "aws.ec2" is not "aws.guardduty"'}
    assert delivery.notifications == delivery.executions == delivery.dead_letters == delivery.lost == []


def test_a_disabled_rule_lets_nothing_through(bus: AlertingAccount) -> None:
    bus.events.disable_rule(Name="findings")
    delivery = deliver(bus.account, EVENT)
    assert delivery.stopped_by == {"findings": "the rule is disabled"}
    assert delivery.notifications == []


def test_a_raw_subscriber_gets_the_event_itself_with_the_subject_of_sns(bus: AlertingAccount) -> None:
    bus.subscribe(bus.raw_topic, "sqs", bus.account.arn("sqs", "siem"))
    [raw] = [sent for sent in deliver(bus.account, EVENT).notifications if sent.protocol == "sqs"]
    assert json.loads(raw.body) == EVENT
    assert raw.subject == DEFAULT_SUBJECT == "AWS Notification Message"


def test_nothing_is_posted_to_an_endpoint_outside(bus: AlertingAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a request left the process")

    monkeypatch.setattr("requests.post", refuse)
    bus.subscribe(bus.topic, "https", HOOK)
    assert readers(deliver(bus.account, EVENT)) == [EMAIL, HOOK]


# Who gets a message


def test_whoever_has_not_confirmed_gets_nothing_until_they_do(bus: AlertingAccount) -> None:
    arn = bus.sns.subscribe(TopicArn=bus.topic, Protocol="email", Endpoint="late@x.org", ReturnSubscriptionArn=True)
    assert readers(deliver(bus.account, EVENT)) == [EMAIL]
    bus.account.confirm_subscription(arn["SubscriptionArn"])
    assert readers(deliver(bus.account, EVENT)) == [EMAIL, "late@x.org"]


@pytest.mark.parametrize(("severity", "gets_it"), [(6.9, False), (7, True), (7.0, True), (9.3, True)])
def test_a_filter_on_the_attributes_compares_numbers(bus: AlertingAccount, severity: float, gets_it: bool) -> None:
    bus.subscribe(bus.topic, "email", "high@x.org", FilterPolicy='{"severity":[{"numeric":[">=",7]}]}')
    assert readers(deliver(bus.account, severe(severity))) == [EMAIL, *(["high@x.org"] if gets_it else [])]


@pytest.mark.parametrize(("severity", "gets_it"), [(6.9, False), (7, True)])
def test_a_filter_on_the_body_reads_the_event(bus: AlertingAccount, severity: float, gets_it: bool) -> None:
    siem = bus.account.arn("sqs", "siem")
    policy = '{"detail":{"severity":[{"numeric":[">=",7]}]}}'
    bus.subscribe(bus.raw_topic, "sqs", siem, FilterPolicyScope="MessageBody", FilterPolicy=policy)
    assert (siem in readers(deliver(bus.account, severe(severity)))) is gets_it


def test_a_message_without_the_attribute_of_a_filter_does_not_pass_it(account: EmulatedAccount) -> None:
    bus = AlertingAccount(account, "{'Message': 'a finding'}")
    bus.subscribe(bus.topic, "email", "high@x.org", FilterPolicy='{"severity":[{"numeric":[">=",7]}]}')
    assert readers(deliver(bus.account, EVENT)) == [EMAIL]


@pytest.mark.parametrize("number", [".5", "+7", "7."])
def test_one_malformed_attribute_keeps_a_message_from_everyone_who_filters(bus: AlertingAccount, number: str) -> None:
    bus.subscribe(bus.topic, "email", "type@x.org", FilterPolicy='{"type":["scan"]}')
    attributes = {
        "type": {"DataType": "String", "StringValue": "scan"},
        "n": {"DataType": "Number", "StringValue": number},
    }
    bus.sns.publish(TopicArn=bus.topic, Message="m", MessageAttributes=attributes)
    assert [sent.endpoint for sent in bus.account.notifications] == [EMAIL]
    del attributes["n"]
    bus.sns.publish(TopicArn=bus.topic, Message="m", MessageAttributes=attributes)
    assert [sent.endpoint for sent in bus.account.notifications[1:]] == [EMAIL, "type@x.org"]


def test_what_is_published_by_hand_is_kept_but_is_no_delivery_of_a_later_event(bus: AlertingAccount) -> None:
    bus.sns.publish(TopicArn=bus.topic, Message="by hand", Subject="hello")
    delivery = deliver(bus.account, EVENT)
    assert [sent.body for sent in bus.sent_to(EMAIL)] == ["by hand", EVENT["detail"]["title"]]
    assert [sent.body for sent in delivery.notifications] == [EVENT["detail"]["title"]]


def test_each_channel_gets_a_message_by_its_own_topic(account: EmulatedAccount) -> None:
    bus = AlertingAccount(account, FORMATTER, CARD)
    bus.subscribe(bus.chat_topic, "https", HOOK)
    delivery = deliver(account, EVENT)
    assert readers(delivery) == [EMAIL, HOOK]
    assert json.loads(delivery.notifications[1].body) == {"title": EVENT["detail"]["title"]}


def test_an_event_that_names_its_channels_goes_to_no_other(account: EmulatedAccount) -> None:
    bus = AlertingAccount(account, FORMATTER, CARD)
    bus.subscribe(bus.chat_topic, "https", HOOK)
    assert readers(deliver(account, {**EVENT, "channels": ["mail"]})) == [EMAIL]


# What keeps EventBridge from the machine


def _dead(bus: AlertingAccount, delivery: EventDelivery, target: str) -> str:
    """Return the error code of the one dead letter, which is of this target and holds the event."""
    [letter] = delivery.dead_letters
    [(body, attributes)] = bus.dead_letters()
    assert body == delivery.event
    assert attributes == {"ERROR_CODE": letter.error_code, "RULE_ARN": bus.rule, "TARGET_ARN": target}
    assert delivery.executions == delivery.lost == delivery.notifications == []
    return letter.error_code


@pytest.mark.parametrize(
    "trusted",
    [
        trust("states.amazonaws.com"),
        trust("events.amazonaws.com", **{"aws:SourceAccount": "444455556666"}),
        trust("events.amazonaws.com", **{"aws:SourceArn": "arn:aws:events:eu-west-1:111122223333:rule/another"}),
    ],
)
def test_a_role_that_does_not_trust_the_rule_cannot_be_assumed(bus: AlertingAccount, trusted: str) -> None:
    bus.iam.update_assume_role_policy(RoleName="rule", PolicyDocument=trusted)
    assert _dead(bus, deliver(bus.account, EVENT), bus.machine) == "FAILED_TO_ASSUME_ROLE"


def test_a_role_that_is_gone_cannot_be_assumed(bus: AlertingAccount) -> None:
    bus.iam.delete_role_policy(RoleName="rule", PolicyName="policy")
    bus.iam.delete_role(RoleName="rule")
    assert _dead(bus, deliver(bus.account, EVENT), bus.machine) == "FAILED_TO_ASSUME_ROLE"


def test_a_role_that_may_not_start_the_machine_has_no_permission(bus: AlertingAccount) -> None:
    bus.allow_role("rule", [allow(["states:StartExecution"], f"{bus.machine}-2")])
    assert _dead(bus, deliver(bus.account, EVENT), bus.machine) == "NO_PERMISSIONS"


def test_a_machine_that_is_gone_takes_nothing(bus: AlertingAccount) -> None:
    bus.machines.delete_state_machine(stateMachineArn=bus.machine)
    assert _dead(bus, deliver(bus.account, EVENT), bus.machine) == "NO_RESOURCE"


def test_an_event_larger_than_an_input_waits_whole_in_the_queue_twice(bus: AlertingAccount) -> None:
    event = {**EVENT, "detail": {**EVENT["detail"], "description": "\N{CJK UNIFIED IDEOGRAPH-6F22}" * 100_000}}
    delivery = deliver(bus.account, event)
    assert delivery.dead_letters == [FailedDelivery("findings", "INVALID_PARAMETER")] * 2
    assert [body for body, _ in bus.dead_letters()] == [event, event]
    assert delivery.lost == delivery.notifications == []


# What keeps EventBridge from the raw topic


def _raw_is_dead(bus: AlertingAccount) -> str:
    delivery = deliver(bus.account, EVENT)
    assert readers(delivery) == [EMAIL]
    [letter] = delivery.dead_letters
    [(_, attributes)] = bus.dead_letters()
    assert attributes["TARGET_ARN"] == bus.raw_topic
    return letter.error_code


def test_a_topic_that_does_not_name_the_rule_gives_no_permission(bus: AlertingAccount) -> None:
    bus.allow_topic(bus.raw_topic, [bus.account.arn("events", "rule/another")])
    assert _raw_is_dead(bus) == "NO_PERMISSIONS"


def test_a_topic_that_is_gone_takes_nothing(bus: AlertingAccount) -> None:
    bus.sns.delete_topic(TopicArn=bus.raw_topic)
    assert _raw_is_dead(bus) == "NO_RESOURCE"


def test_a_queue_that_shuts_the_rule_out_loses_the_event(bus: AlertingAccount) -> None:
    bus.allow_topic(bus.raw_topic, [])
    bus.allow_queue([])
    delivery = deliver(bus.account, EVENT)
    assert delivery.lost == [FailedDelivery("findings", "NO_PERMISSIONS")]
    assert readers(delivery) == [EMAIL]
    assert bus.dead_letters() == []


def test_a_key_that_shuts_eventbridge_out_loses_the_raw_event_and_no_mail(bus: AlertingAccount) -> None:
    closed = key_policy(bus.account.location, "/flow-logs")
    closed["Statement"] = [entry for entry in closed["Statement"] if entry["Sid"] != "EventBridgePublishes"]
    bus.kms.put_key_policy(KeyId=bus.key, PolicyName="default", Policy=json.dumps(closed))
    delivery = deliver(bus.account, EVENT)
    assert delivery.lost == [FailedDelivery("findings", "NO_PERMISSIONS")]
    assert readers(delivery) == [EMAIL]


# What keeps the machine from its channels


def _queued_by_machine(bus: AlertingAccount) -> str:
    """Return the error with which the machine put the event into the queue."""
    delivery = deliver(bus.account, EVENT)
    [letter] = delivery.dead_letters
    [(body, attributes)] = bus.dead_letters()
    assert body == EVENT
    assert attributes == {"ERROR_CODE": letter.error_code, "TARGET_ARN": bus.topic, "CHANNEL": "mail"}
    assert delivery.lost == delivery.notifications == []
    return letter.error_code


def test_what_the_formatter_cannot_do_is_mailed_plain_and_counted(account: EmulatedAccount) -> None:
    bus = AlertingAccount(account, BROKEN)
    [mail] = deliver(account, EVENT).notifications
    assert mail.subject == PLAIN_SUBJECT
    assert json.loads(mail.body.rpartition("\n\n")[2]) == EVENT
    assert bus.plain_messages() == 1


@pytest.mark.parametrize(
    "formatter",
    [
        "{'Subject': 'a\\nb', 'Message': 'm'}",
        "{'Subject': '', 'Message': 'm'}",
        "{'Subject': $pad('', 101, 'x'), 'Message': 'm'}",
        "{'Message': ''}",
        "{'Message': 'm', 'MessageAttributes': {'a': {'DataType': 'Number', 'StringValue': 'many'}}}",
    ],
)
def test_what_sns_refuses_is_mailed_plain(account: EmulatedAccount, formatter: str) -> None:
    bus = AlertingAccount(account, formatter)
    [mail] = deliver(account, EVENT).notifications
    assert (mail.subject, bus.plain_messages()) == (PLAIN_SUBJECT, 1)


@pytest.mark.parametrize("arguments", ["{'Message': 1}", "{'Message': 'm', 'Subjekt': 's'}"])
def test_arguments_that_are_none_of_sns_end_the_execution_as_nothing_can_catch_it(
    account: EmulatedAccount, arguments: str
) -> None:
    AlertingAccount(account, arguments)
    delivery = deliver(account, EVENT)
    assert delivery.lost == [FailedDelivery("findings", "States.Runtime")]


def test_a_count_that_the_role_may_not_make_delays_no_mail(account: EmulatedAccount) -> None:
    bus = AlertingAccount(account, BROKEN)
    elsewhere = allow(["cloudwatch:PutMetricData"], "*", **{"cloudwatch:namespace": "Another"})
    bus.allow_role("machine", [*bus.other_permissions("cloudwatch:PutMetricData"), elsewhere])
    assert readers(deliver(account, EVENT)) == [EMAIL]
    assert bus.plain_messages() == 0


def test_a_topic_that_is_gone_leaves_the_event_in_the_queue(bus: AlertingAccount) -> None:
    bus.sns.delete_topic(TopicArn=bus.topic)
    assert _queued_by_machine(bus) == "SNS.NotFoundException"


def test_a_role_that_may_not_publish_leaves_the_event_in_the_queue(bus: AlertingAccount) -> None:
    bus.forbid_machine("sns:Publish")
    assert _queued_by_machine(bus) == "SNS.AuthorizationErrorException"


def test_a_topic_that_denies_the_role_leaves_the_event_in_the_queue(bus: AlertingAccount) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": bus.topic}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    bus.sns.set_topic_attributes(TopicArn=bus.topic, AttributeName="Policy", AttributeValue=policy)
    assert _queued_by_machine(bus) == "SNS.AuthorizationErrorException"


def test_a_role_that_may_use_the_key_for_the_queue_only_leaves_the_event_there(bus: AlertingAccount) -> None:
    sqs = allow(["kms:GenerateDataKey", "kms:Decrypt"], bus.key, **{"kms:ViaService": "sqs.eu-west-1.amazonaws.com"})
    bus.allow_role("machine", [*bus.other_permissions("kms:Decrypt"), sqs])
    assert _queued_by_machine(bus) == "SNS.KMSAccessDeniedException"


def test_a_key_that_leaves_nothing_to_the_account_serves_the_role_it_names(bus: AlertingAccount) -> None:
    named = {"Sid": "M", "Effect": "Allow", "Principal": {"AWS": bus.machine_role}, "Action": "kms:*", "Resource": "*"}
    policy = key_policy(bus.account.location, "/flow-logs")
    policy["Statement"][0] = named
    bus.kms.put_key_policy(KeyId=bus.key, PolicyName="default", Policy=json.dumps(policy))
    bus.forbid_machine("kms:Decrypt")
    assert readers(deliver(bus.account, EVENT)) == [EMAIL]


def _is_lost(bus: AlertingAccount) -> None:
    delivery = deliver(bus.account, EVENT)
    assert FailedDelivery("findings", "Lost") in delivery.lost
    assert [execution.run.cause for execution in delivery.executions] == ["mail"]
    assert delivery.notifications == delivery.dead_letters == bus.dead_letters() == []


def test_what_neither_topic_nor_queue_takes_is_lost_and_fails_the_execution(bus: AlertingAccount) -> None:
    bus.forbid_machine("sqs:SendMessage")
    bus.sns.delete_topic(TopicArn=bus.topic)
    _is_lost(bus)


def test_a_disabled_key_loses_everything(bus: AlertingAccount) -> None:
    bus.kms.disable_key(KeyId=bus.key.rpartition("/")[2])
    _is_lost(bus)


def test_a_role_that_step_functions_may_not_assume_fails_the_execution(bus: AlertingAccount) -> None:
    bus.iam.update_assume_role_policy(RoleName="machine", PolicyDocument=trust("events.amazonaws.com"))
    delivery = deliver(bus.account, EVENT)
    assert delivery.lost == [FailedDelivery("findings", "States.Runtime")]


def test_a_second_rule_is_a_delivery_of_its_own(bus: AlertingAccount) -> None:
    bus.events.put_rule(Name="findings-2", EventPattern=json.dumps(PATTERN))
    bus.events.put_targets(Rule="findings-2", Targets=[{"Id": "raw", "Arn": bus.raw_topic}])
    delivery = deliver(bus.account, EVENT)
    assert delivery.stopped_by == {"findings": None, "findings-2": None}
    assert delivery.lost == [FailedDelivery("findings-2", "NO_PERMISSIONS")]
