"""Topics, their policies and subscriptions."""

import json

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated, Fields, Properties, attributes, from_api, is_true, names, to_api

_TOPIC: Fields = {
    "displayName": "DisplayName",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "policy": "Policy",
    "deliveryPolicy": "DeliveryPolicy",
}


def _make_topic(account: EmulatedAccount, inputs: Properties) -> str:
    _check_topic_policy(inputs)
    topic_arn = account.client("sns").create_topic(Name=inputs["name"])["TopicArn"]
    _change_topic(account, topic_arn, inputs)
    return topic_arn


def _check_topic_policy(inputs: Properties) -> None:
    if inputs.get("policy"):
        constraints.policy_document(inputs["policy"], "topic")


def _look_at_topic(account: EmulatedAccount, topic_arn: str) -> Properties:
    attributes = account.client("sns").get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    return {
        **from_api(attributes, _TOPIC),
        "arn": topic_arn,
        "name": topic_arn.rpartition(":")[2],
        "owner": attributes["Owner"],
    }


def _change_topic(account: EmulatedAccount, topic_arn: str, inputs: Properties) -> None:
    _check_topic_policy(inputs)
    wanted = {"DisplayName": "", "KmsMasterKeyId": "", **to_api(inputs, _TOPIC)}
    for name, value in wanted.items():
        account.client("sns").set_topic_attributes(TopicArn=topic_arn, AttributeName=name, AttributeValue=value)


def _remove_topic(account: EmulatedAccount, topic_arn: str, _: Properties) -> None:
    account.client("sns").delete_topic(TopicArn=topic_arn)


def _put_topic_policy(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.policy_document(inputs["policy"], "topic")
    account.client("sns").set_topic_attributes(
        TopicArn=inputs["arn"], AttributeName="Policy", AttributeValue=inputs["policy"]
    )
    return inputs["arn"]


def _look_at_topic_policy(account: EmulatedAccount, topic_arn: str) -> Properties:
    attributes = account.client("sns").get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    return {"arn": topic_arn, "policy": attributes["Policy"], "owner": attributes["Owner"]}


def _change_topic_policy(account: EmulatedAccount, _: str, inputs: Properties) -> None:
    _put_topic_policy(account, inputs)


def _remove_topic_policy(account: EmulatedAccount, topic_arn: str, outputs: Properties) -> None:
    """Back to the policy SNS gives a new topic, which lets its owner use it."""
    owner_only = {
        "Version": "2008-10-17",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": ["SNS:Publish", "SNS:Subscribe", "SNS:GetTopicAttributes", "SNS:SetTopicAttributes"],
                "Resource": topic_arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": outputs["owner"]}},
            }
        ],
    }
    _put_topic_policy(account, {"arn": topic_arn, "policy": json.dumps(owner_only)})


_SUBSCRIPTION: Fields = {"topic": "TopicArn", "protocol": "Protocol", "endpoint": "Endpoint"}
_SUBSCRIPTION_ATTRIBUTES: Fields = {
    "rawMessageDelivery": "RawMessageDelivery",
    "filterPolicyScope": "FilterPolicyScope",
    "filterPolicy": "FilterPolicy",
    "redrivePolicy": "RedrivePolicy",
    "deliveryPolicy": "DeliveryPolicy",
}


def _make_subscription(account: EmulatedAccount, inputs: Properties) -> str:
    return account.client("sns").subscribe(
        **to_api(inputs, _SUBSCRIPTION),
        Attributes=attributes(inputs, _SUBSCRIPTION_ATTRIBUTES),
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]


def _look_at_subscription(account: EmulatedAccount, arn: str) -> Properties:
    found = account.client("sns").get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    return {
        **from_api(found, {**_SUBSCRIPTION, **_SUBSCRIPTION_ATTRIBUTES}),
        "rawMessageDelivery": is_true(found["RawMessageDelivery"]),
        "arn": arn,
        "ownerId": found["Owner"],
        "pendingConfirmation": is_true(found["PendingConfirmation"]),
        "confirmationWasAuthenticated": is_true(found["ConfirmationWasAuthenticated"]),
    }


def _change_subscription(account: EmulatedAccount, arn: str, inputs: Properties) -> None:
    for name, value in attributes(inputs, _SUBSCRIPTION_ATTRIBUTES).items():
        account.client("sns").set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)


def _remove_subscription(account: EmulatedAccount, arn: str, _: Properties) -> None:
    account.client("sns").unsubscribe(SubscriptionArn=arn)


RESOURCES = (
    Emulated(
        type="aws:sns/topic:Topic",
        inputs=names(_TOPIC, ("name", "tags")),
        make=_make_topic,
        look=_look_at_topic,
        change=_change_topic,
        remove=_remove_topic,
        replaced_by=frozenset({"name"}),
        computed=frozenset({"arn", "owner"}),
        named="name",
        tagging=tagging.SNS,
    ),
    Emulated(
        type="aws:sns/topicPolicy:TopicPolicy",
        inputs=frozenset({"arn", "policy"}),
        make=_put_topic_policy,
        look=_look_at_topic_policy,
        change=_change_topic_policy,
        remove=_remove_topic_policy,
        replaced_by=frozenset({"arn"}),
        computed=frozenset({"owner"}),
    ),
    Emulated(
        type="aws:sns/topicSubscription:TopicSubscription",
        inputs=names(_SUBSCRIPTION, _SUBSCRIPTION_ATTRIBUTES),
        make=_make_subscription,
        look=_look_at_subscription,
        change=_change_subscription,
        remove=_remove_subscription,
        replaced_by=frozenset(_SUBSCRIPTION),
        computed=frozenset({"arn", "ownerId", "pendingConfirmation", "confirmationWasAuthenticated"}),
    ),
)
