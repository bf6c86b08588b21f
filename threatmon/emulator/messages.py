"""What SNS and SQS say of a message: pure functions over the parameters of a call."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from threatmon.emulator.answers import Refusal
from threatmon.model.state_machine import QUOTA

_Attributes = Mapping[str, Mapping[str, Any]]

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html: printable ASCII that does not begin with a blank.
_SUBJECT = re.compile(r"[!-~][ -~]{0,99}")
# https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
_ATTRIBUTE_NAME = re.compile(r"(?!\.)(?!(?i:aws|amazon)\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
_DATA_TYPES = ("String", "String.Array", "Number", "Binary")
_CASTABLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# What a filter reads as a number, which is less than what SNS takes.
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_BEYOND_BMP = re.compile(r"[\U00010000-\U0010ffff]")
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_NOT_IN_A_QUEUE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_notification(asked: Mapping[str, Any]) -> None:
    """Refuse what SNS refuses of the parameters of `Publish`."""
    attributes: _Attributes = asked.get("MessageAttributes", {})
    for code, fault in _notification_faults(asked, attributes):
        raise Refusal(code, fault)


def _notification_faults(asked: Mapping[str, Any], attributes: _Attributes) -> Iterator[tuple[str, str]]:
    message = asked["Message"]
    if not message:
        yield "InvalidParameter", "Invalid parameter: Empty message"
    if "MessageStructure" in asked:
        yield "InvalidParameter", "Invalid parameter: MessageStructure is not emulated"
    if "Subject" in asked and not _SUBJECT.fullmatch(asked["Subject"]):
        yield "InvalidParameter", "Invalid parameter: Subject"
    for name, attribute in attributes.items():
        yield from _attribute_faults(name, attribute)
    try:
        size = len(message.encode()) + _size(attributes)
    except UnicodeEncodeError:
        yield "InvalidParameter", "Invalid parameter: the text is not valid UTF-8"
    else:
        if size > QUOTA:
            yield "InvalidParameter", "Invalid parameter: Message too long"


def _attribute_faults(name: str, attribute: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data_type, text = attribute["DataType"], attribute.get("StringValue", "")
    if not _ATTRIBUTE_NAME.fullmatch(name):
        yield "ParameterValueInvalid", f"The message attribute name '{name}' is invalid"
    if data_type not in _DATA_TYPES:
        yield (
            "ParameterValueInvalid",
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported type "
            "prefixes is Binary, Number, and String.",
        )
    elif data_type == "Binary":
        if not attribute.get("BinaryValue"):
            yield (
                "ParameterValueInvalid",
                f"The message attribute '{name}' must contain non-empty message attribute value.",
            )
    elif not text:
        yield (
            "ParameterValueInvalid",
            f"The message attribute '{name}' must contain non-empty message attribute value for message attribute "
            f"type '{data_type}'.",
        )
    elif data_type == "Number" and not _CASTABLE.fullmatch(text):
        yield "ParameterValueInvalid", f"Could not cast message attribute '{name}' value to number."
    elif data_type.startswith("String") and _BEYOND_BMP.search(text):
        yield "InvalidParameter", f"Invalid parameter: the message attribute '{name}' has a character beyond U+FFFF"


def check_queue_message(asked: Mapping[str, Any], quota: int) -> None:
    """Refuse what SQS refuses of the parameters of `SendMessage`; `quota` is the queue's, in bytes."""
    attributes: _Attributes = asked.get("MessageAttributes", {})
    texts = [asked["MessageBody"], *(attribute.get("StringValue", "") for attribute in attributes.values())]
    if any(_NOT_IN_A_QUEUE.search(text) for text in texts):
        raise Refusal("InvalidMessageContents", "Invalid characters found in the message.")
    if len(asked["MessageBody"].encode()) + _size(attributes) > quota:
        raise Refusal(
            "InvalidParameterValue",
            f"One or more parameters are invalid. Reason: Message must be shorter than {quota} bytes.",
        )


def _size(attributes: _Attributes) -> int:
    """Return the bytes of attributes: name, type and value of each count."""
    return sum(
        len(f"{name}{attribute['DataType']}{attribute.get('StringValue', '')}".encode())
        + len(attribute.get("BinaryValue", b""))
        for name, attribute in attributes.items()
    )


def filterable(attributes: _Attributes) -> dict[str, Any] | None:
    """Return the values that a filter policy compares; None if one is malformed, and no filter lets the message pass.

    https://docs.aws.amazon.com/sns/latest/dg/message-filtering-apply.html
    """
    values: dict[str, Any] = {}
    for name, attribute in attributes.items():
        text = attribute.get("StringValue", "")
        if attribute["DataType"] == "String":
            values[name] = text
        elif attribute["DataType"] != "Binary":
            try:
                value = json.loads(text)
            except ValueError:
                return None
            if attribute["DataType"] == "Number" and not _NUMBER.fullmatch(text):
                return None
            values[name] = value
    return values
