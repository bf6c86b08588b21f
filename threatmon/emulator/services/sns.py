"""Topics, their policies and subscriptions."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import ApiNames, Emulated, Properties, capitalised, from_api, nothing, to_api

_TOPIC = capitalised("displayName", "kmsMasterKeyId")
_SUBSCRIPTION: ApiNames = {"topic": "TopicArn", "protocol": "Protocol", "endpoint": "Endpoint"}
_FILTER = capitalised("filterPolicy", "filterPolicyScope")


def _make_topic(account: EmulatedAccount, inputs: Properties) -> str:
    topic_arn = account.client("sns").create_topic(Name=inputs["name"])["TopicArn"]
    _change_topic(account, topic_arn, inputs)
    return topic_arn


def _look_at_topic(account: EmulatedAccount, topic_arn: str) -> Properties:
    attributes = account.client("sns").get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    return {
        **from_api(attributes, {**_TOPIC, "owner": "Owner"}),
        "arn": topic_arn,
        "name": topic_arn.rpartition(":")[2],
    }


def _change_topic(account: EmulatedAccount, topic_arn: str, inputs: Properties) -> None:
    for name, value in {**dict.fromkeys(_TOPIC.values(), ""), **to_api(inputs, _TOPIC)}.items():
        _set_attribute(account, topic_arn, name, value)


def _set_attribute(account: EmulatedAccount, topic_arn: str, name: str, value: str) -> None:
    account.client("sns").set_topic_attributes(TopicArn=topic_arn, AttributeName=name, AttributeValue=value)


def _put_policy(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.policy_document(inputs["policy"], "topic")
    _set_attribute(account, inputs["arn"], "Policy", inputs["policy"])
    return inputs["arn"]


def _look_at_policy(account: EmulatedAccount, topic_arn: str) -> Properties:
    attributes = account.client("sns").get_topic_attributes(TopicArn=topic_arn)["Attributes"]
    return {"arn": topic_arn, "policy": attributes["Policy"], "owner": attributes["Owner"]}


def _subscribe(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.filter_policy(inputs.get("filterPolicy") or "{}")
    answer = account.client("sns").subscribe(
        **to_api(inputs, _SUBSCRIPTION), Attributes=_filter(inputs), ReturnSubscriptionArn=True
    )
    return answer["SubscriptionArn"]


def _filter(inputs: Properties) -> dict[str, str]:
    return {name: value for name, value in to_api(inputs, _FILTER).items() if value}


def _change_filter(account: EmulatedAccount, arn: str, inputs: Properties) -> None:
    """Set the filter, or one that lets everything through: SNS takes none away."""
    constraints.filter_policy(inputs.get("filterPolicy") or "{}")
    wanted = {"FilterPolicyScope": "MessageAttributes", "FilterPolicy": "{}", **_filter(inputs)}
    # SNS judges a policy by the scope that is set.
    for name, value in [("FilterPolicy", "{}"), *wanted.items()]:
        account.client("sns").set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)


def _look_at_subscription(account: EmulatedAccount, arn: str) -> Properties:
    attributes = account.client("sns").get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    is_filtered = attributes.get("FilterPolicy", "{}") != "{}"
    return {
        **(from_api(attributes, _FILTER) if is_filtered else {}),
        **from_api(attributes, {**_SUBSCRIPTION, "ownerId": "Owner"}),
        "arn": arn,
        "pendingConfirmation": attributes["PendingConfirmation"].lower() == "true",
    }


RESOURCES = (
    Emulated(
        type="aws:sns/topic:Topic",
        inputs={*_TOPIC, "name", "tags"},
        make=_make_topic,
        look=_look_at_topic,
        change=_change_topic,
        remove=lambda account, arn, _: account.client("sns").delete_topic(TopicArn=arn),
        replaced_by={"name"},
        computed={"arn", "owner"},
        named="name",
        tagging=tagging.SNS,
    ),
    Emulated(
        type="aws:sns/topicPolicy:TopicPolicy",
        inputs={"arn", "policy"},
        make=_put_policy,
        look=_look_at_policy,
        remove=nothing,  # it goes with its topic; SNS alone would go back to its default policy
        replaced_by={"arn"},
        computed={"owner"},
    ),
    Emulated(
        type="aws:sns/topicSubscription:TopicSubscription",
        inputs={*_SUBSCRIPTION, *_FILTER},
        make=_subscribe,
        look=_look_at_subscription,
        change=_change_filter,
        remove=lambda account, arn, _: account.client("sns").unsubscribe(SubscriptionArn=arn),
        replaced_by={*_SUBSCRIPTION},
        computed={"arn", "ownerId", "pendingConfirmation"},
    ),
)
