"""Queues and their policies."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import (
    Emulated,
    Fields,
    NotThereError,
    Properties,
    attributes,
    from_api,
    is_true,
    names,
)

_QUEUE_NUMBERS: Fields = {
    "delaySeconds": "DelaySeconds",
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
}
_QUEUE_TEXTS: Fields = {
    "kmsMasterKeyId": "KmsMasterKeyId",
    "policy": "Policy",
    "redrivePolicy": "RedrivePolicy",
    "redriveAllowPolicy": "RedriveAllowPolicy",
}
_QUEUE_SWITCHES: Fields = {"sqsManagedSseEnabled": "SqsManagedSseEnabled"}
_QUEUE: Fields = {**_QUEUE_NUMBERS, **_QUEUE_TEXTS, **_QUEUE_SWITCHES}


def _make_queue(account: EmulatedAccount, inputs: Properties) -> str:
    _check_queue_policy(inputs)
    return account.client("sqs").create_queue(QueueName=inputs["name"], Attributes=attributes(inputs, _QUEUE))[
        "QueueUrl"
    ]


def _check_queue_policy(inputs: Properties) -> None:
    if inputs.get("policy"):
        constraints.policy_document(inputs["policy"], "queue")


def _look_at_queue(account: EmulatedAccount, url: str) -> Properties:
    attributes = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    numbers = {name: int(value) for name, value in from_api(attributes, _QUEUE_NUMBERS).items()}
    switches = {name: is_true(value) for name, value in from_api(attributes, _QUEUE_SWITCHES).items()}
    return {
        **numbers,
        **switches,
        **from_api(attributes, _QUEUE_TEXTS),
        "arn": attributes["QueueArn"],
        "name": attributes["QueueArn"].rpartition(":")[2],
        "url": url,
    }


def _change_queue(account: EmulatedAccount, url: str, inputs: Properties) -> None:
    _check_queue_policy(inputs)
    account.client("sqs").set_queue_attributes(QueueUrl=url, Attributes=attributes(inputs, _QUEUE))


def _remove_queue(account: EmulatedAccount, url: str, _: Properties) -> None:
    account.client("sqs").delete_queue(QueueUrl=url)


def _put_queue_policy(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.policy_document(inputs["policy"], "queue")
    account.client("sqs").set_queue_attributes(QueueUrl=inputs["queueUrl"], Attributes={"Policy": inputs["policy"]})
    return inputs["queueUrl"]


def _look_at_queue_policy(account: EmulatedAccount, url: str) -> Properties:
    attributes = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    policy = attributes.get("Attributes", {}).get("Policy")
    if not policy:
        raise NotThereError
    return {"queueUrl": url, "policy": policy}


def _change_queue_policy(account: EmulatedAccount, _: str, inputs: Properties) -> None:
    _put_queue_policy(account, inputs)


def _remove_queue_policy(account: EmulatedAccount, url: str, _: Properties) -> None:
    account.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})


RESOURCES = (
    Emulated(
        type="aws:sqs/queue:Queue",
        inputs=names(_QUEUE, ("name", "tags")),
        make=_make_queue,
        look=_look_at_queue,
        change=_change_queue,
        remove=_remove_queue,
        replaced_by=frozenset({"name"}),
        computed=frozenset({"arn", "url"}),
        defaults={"maxMessageSize": 262_144},  # https://www.pulumi.com/registry/packages/aws/api-docs/sqs/queue/
        named="name",
        tagging=tagging.SQS,
    ),
    Emulated(
        type="aws:sqs/queuePolicy:QueuePolicy",
        inputs=frozenset({"queueUrl", "policy"}),
        make=_put_queue_policy,
        look=_look_at_queue_policy,
        change=_change_queue_policy,
        remove=_remove_queue_policy,
        replaced_by=frozenset({"queueUrl"}),
    ),
)
