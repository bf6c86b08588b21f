"""What SNS and SQS take, and what they refuse with which code."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.answers import Refusal
from threatmon.emulator.messages import check_notification, check_queue_message, filterable

QUOTA = 262_144
Attribute = dict[str, Any]


def string(value: str) -> Attribute:
    return {"DataType": "String", "StringValue": value}


def number(value: str) -> Attribute:
    return {"DataType": "Number", "StringValue": value}


@pytest.mark.parametrize(
    "asked",
    [
        {"Message": "m"},
        {"Message": "m" * QUOTA},
        {"Message": "a\n\t\0 \N{SNOWMAN} \U0001f600"},
        {"Message": "m", "Subject": "x" * 100},
        {"Message": "m", "Subject": "[HIGH] a scan (3x)"},
        {"Message": "m", "MessageAttributes": {"severity": number("7.5"), "type": string("Recon:EC2/Portscan")}},
        {
            "Message": "m",
            "MessageAttributes": {"n": number(".5"), "l": {"DataType": "String.Array", "StringValue": "[]"}},
        },
        {"Message": "m", "MessageAttributes": {"b": {"DataType": "Binary", "BinaryValue": b"1"}}},
        # A name, a type and a value count.
        {"Message": "m" * (QUOTA - len("sNumber7")), "MessageAttributes": {"s": number("7")}},
    ],
)
def test_sns_takes_a_message(asked: dict[str, Any]) -> None:
    check_notification(asked)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"Message": ""}, "InvalidParameter: .*Empty message"),
        ({"Message": "m" * (QUOTA + 1)}, "InvalidParameter: .*Message too long"),
        ({"Message": "\N{SNOWMAN}" * (QUOTA // 3 + 1)}, "Message too long"),
        ({"Message": "a\ud800b"}, "not valid UTF-8"),
        ({"Message": "m" * (QUOTA - 7), "MessageAttributes": {"s": number("7")}}, "Message too long"),
        *(
            ({"Message": "m", "Subject": subject}, "InvalidParameter: Invalid parameter: Subject")
            for subject in (
                "",
                " a",
                "x" * 101,
                "a\nb",
                "a\tb",
                "a\x7fb",
                "Z\N{LATIN SMALL LETTER U WITH DIAERESIS}rich",
            )
        ),
        ({"Message": "m", "MessageAttributes": {"s": number("high")}}, "ParameterValueInvalid: Could not cast"),
        ({"Message": "m", "MessageAttributes": {"s": number("NaN")}}, "ParameterValueInvalid: Could not cast"),
        ({"Message": "m", "MessageAttributes": {"s": string("")}}, "ParameterValueInvalid: .*non-empty"),
        ({"Message": "m", "MessageAttributes": {"s": string("\U0001f600")}}, "InvalidParameter: .*beyond U.FFFF"),
        ({"Message": "m", "MessageAttributes": {"s": {"DataType": "Text", "StringValue": "a"}}}, "invalid message"),
        ({"Message": "m", "MessageAttributes": {"b": {"DataType": "Binary"}}}, "non-empty"),
        *(
            ({"Message": "m", "MessageAttributes": {name: string("a")}}, f"name '{name}' is invalid")
            for name in ("a b", ".a", "a.", "a..b", "AWS.a", "amazon.a", "a" * 257)
        ),
        ({"Message": "{}", "MessageStructure": "json"}, "MessageStructure is not emulated"),
    ],
)
def test_sns_refuses_a_message(asked: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal, match=code):
        check_notification(asked)


@pytest.mark.parametrize("body", ["a", "\t\r\n \ud7ff\ue000\ufffd\U00010000\U0010ffff\x7f\x80", "x" * 1024])
def test_sqs_takes_a_message(body: str) -> None:
    check_queue_message({"MessageBody": body, "MessageAttributes": {"a": string("x")}}, 2_048)


@pytest.mark.parametrize("code", [0, 0x0B, 0x1F, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF])
def test_sqs_refuses_characters_in_the_body_and_in_attributes(code: int) -> None:
    char = chr(code)
    for asked in ({"MessageBody": char}, {"MessageBody": "a", "MessageAttributes": {"a": string(char)}}):
        with pytest.raises(Refusal, match="InvalidMessageContents"):
            check_queue_message(asked, 2_048)


@pytest.mark.parametrize(("body", "attribute"), [("x" * 11, ""), ("\N{SNOWMAN}" * 4, ""), ("x" * 4, "a")])
def test_sqs_counts_bytes_and_attributes(body: str, attribute: str) -> None:
    asked = {"MessageBody": body, "MessageAttributes": {"a": string("x")} if attribute else {}}
    with pytest.raises(Refusal, match=r"InvalidParameterValue: .*shorter than 10 bytes"):
        check_queue_message(asked, 10)


def test_the_api_refuses_what_the_services_refuse(account: EmulatedAccount) -> None:
    sns, sqs = account.client("sns"), account.client("sqs")
    topic, queue = sns.create_topic(Name="t")["TopicArn"], sqs.create_queue(QueueName="q")["QueueUrl"]
    with pytest.raises(sns.exceptions.InvalidParameterException):
        sns.publish(TopicArn=topic, Message="m", Subject="")
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.publish(TopicArn=f"{topic}-2", Message="m")
    with pytest.raises(sqs.exceptions.InvalidMessageContents):
        sqs.send_message(QueueUrl=queue, MessageBody="\uffff")
    with pytest.raises(ClientError, match=r"QueueDoesNotExist|NonExistentQueue"):
        sqs.send_message(QueueUrl=f"{queue}-2", MessageBody="m")


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_filter_compares_the_number_that_was_sent(value: float) -> None:
    assert filterable({"n": number(str(value))}) == {"n": value}


def test_a_filter_compares_texts_and_lists_and_no_bytes() -> None:
    attributes = {
        "s": string("7"),
        "l": {"DataType": "String.Array", "StringValue": '["a",1,null]'},
        "b": {"DataType": "Binary", "BinaryValue": b"1"},
    }
    assert filterable(attributes) == {"s": "7", "l": ["a", 1, None]}


@pytest.mark.parametrize(
    "malformed", [number("many"), number(".5"), {"DataType": "String.Array", "StringValue": "a,b"}]
)
def test_one_malformed_attribute_leaves_nothing_to_compare(malformed: Attribute) -> None:
    assert filterable({"s": string("7"), "m": malformed}) is None
