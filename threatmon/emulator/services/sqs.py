"""Queues and their policies."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import ApiNames, Emulated, MissingResourceError, Properties, from_api, to_api

_NUMBERS: ApiNames = {"maxMessageSize": "MaximumMessageSize", "messageRetentionSeconds": "MessageRetentionPeriod"}
_QUEUE: ApiNames = {**_NUMBERS, "kmsMasterKeyId": "KmsMasterKeyId"}


def _attributes(inputs: Properties) -> dict[str, str]:
    return {name: str(value) for name, value in to_api(inputs, _QUEUE).items()}


def _make_queue(account: EmulatedAccount, inputs: Properties) -> str:
    return account.client("sqs").create_queue(QueueName=inputs["name"], Attributes=_attributes(inputs))["QueueUrl"]


def _look_at_queue(account: EmulatedAccount, url: str) -> Properties:
    attributes = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return {
        **from_api(attributes, {**_QUEUE, "arn": "QueueArn"}),
        **{name: int(value) for name, value in from_api(attributes, _NUMBERS).items()},
        "name": attributes["QueueArn"].rpartition(":")[2],
        "url": url,
    }


def _change_queue(account: EmulatedAccount, url: str, inputs: Properties) -> None:
    account.client("sqs").set_queue_attributes(QueueUrl=url, Attributes=_attributes(inputs))


def _put_policy(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.policy_document(inputs["policy"], "queue")
    account.client("sqs").set_queue_attributes(QueueUrl=inputs["queueUrl"], Attributes={"Policy": inputs["policy"]})
    return inputs["queueUrl"]


def _look_at_policy(account: EmulatedAccount, url: str) -> Properties:
    answer = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    policy = answer.get("Attributes", {}).get("Policy")
    if not policy:
        raise MissingResourceError
    return {"queueUrl": url, "policy": policy}


RESOURCES = (
    Emulated(
        type="aws:sqs/queue:Queue",
        inputs={*_QUEUE, "name", "tags"},
        make=_make_queue,
        look=_look_at_queue,
        change=_change_queue,
        remove=lambda account, url, _: account.client("sqs").delete_queue(QueueUrl=url),
        replaced_by={"name"},
        computed={"arn", "url"},
        defaults={"maxMessageSize": 262_144},  # https://www.pulumi.com/registry/packages/aws/api-docs/sqs/queue/
        named="name",
        tagging=tagging.SQS,
    ),
    Emulated(
        type="aws:sqs/queuePolicy:QueuePolicy",
        inputs={"queueUrl", "policy"},
        make=_put_policy,
        look=_look_at_policy,
        remove=lambda account, url, _: account.client("sqs").set_queue_attributes(
            QueueUrl=url, Attributes={"Policy": ""}
        ),
        replaced_by={"queueUrl"},
    ),
)
