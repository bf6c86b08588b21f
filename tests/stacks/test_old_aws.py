from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, UnauthorizedSSOTokenError

from threatmon.emulator.account import EmulatedAccount
from threatmon.errors import UsageError
from threatmon.stacks import old_aws as session
from threatmon.stacks.files import StackFile


def stack(**changes: Any) -> StackFile:
    config = {"aws:region": "eu-west-1", "aws:allowedAccountIds": ["111122223333"]}
    return StackFile("dev", config | {f"aws:{key}": value for key, value in changes.items()})


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedAccount]:
    with EmulatedAccount("111122223333", "eu-west-1") as account:
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: account.boto3_session())
        yield account


def refusal(code: str, message: str = "no", operation: str = "GetDetector", **details: str) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message, **details}}
    return ClientError(response, operation)


@pytest.mark.usefixtures("account")
def test_a_stack_gives_its_account_region_and_partition() -> None:
    connection = session.connect(stack())
    assert (connection.account_id, connection.region, connection.partition) == ("111122223333", "eu-west-1", "aws")
    assert connection.client("sns") is connection.client("sns")
    assert connection.client("sns").list_topics()["Topics"] == []


@pytest.mark.usefixtures("account")
def test_credentials_of_another_account_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"of account 111122223333, but Pulumi.dev.yaml allows 444455556666"):
        session.connect(stack(allowedAccountIds=["444455556666"]))


def test_a_missing_region_says_what_to_set() -> None:
    with pytest.raises(UsageError, match="pulumi config set aws:region"):
        session.connect(stack(region=None))


def test_missing_credentials_say_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UsageError, match="set AWS_PROFILE"):
        session.connect(stack())


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(UsageError, match=r"aws:profile: .*nobody"):
        session.connect(stack(profile="nobody"))


def test_a_role_is_assumed_where_the_stack_file_names_one(
    account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    sts = account.client("sts")
    boto = account.boto3_session()
    assume = sts.assume_role
    monkeypatch.setattr(sts, "assume_role", lambda **given: asked.append(given) or assume(**given))
    monkeypatch.setattr(boto, "client", lambda *_args, **_kwargs: sts)
    monkeypatch.setattr(session, "new_session", lambda _profile, _region: boto)
    role = "arn:aws:iam::111122223333:role/reader"
    with pytest.raises(UsageError):  # moto places whoever assumed a role in its own account
        session.connect(stack(allowedAccountIds=["000000000000"], assumeRoles=[{"roleArn": role, "externalId": "xyz"}]))
    assert asked == [{"RoleArn": role, "RoleSessionName": "threatmon", "ExternalId": "xyz"}]


@pytest.mark.usefixtures("account")
def test_the_error_of_a_call_carries_the_action_it_needed() -> None:
    connection = session.connect(stack())
    with pytest.raises(ClientError) as error:
        connection.client("cloudwatch").get_dashboard(DashboardName="none")
    assert session.explained(error.value).startswith("cloudwatch:GetDashboard failed: ")


def denied(**_: object) -> Any:
    return AWSResponse("", 403, HTTPHeaders(), None), {"Error": {"Code": "AccessDenied", "Message": "no"}}


# What IAM calls them: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html and
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonkinesisfirehose.html
@pytest.mark.parametrize(
    ("service", "method", "arguments", "permission"),
    [
        ("sqs", "change_message_visibility_batch", {"QueueUrl": "q", "Entries": []}, "sqs:ChangeMessageVisibility"),
        ("sqs", "delete_message", {"QueueUrl": "q", "ReceiptHandle": "r"}, "sqs:DeleteMessage"),
        (
            "firehose",
            "put_record_batch",
            {"DeliveryStreamName": "s", "Records": [{"Data": b"x"}]},
            "firehose:PutRecordBatch",
        ),
    ],
)
def test_a_denied_call_names_the_action_that_iam_knows(
    account: EmulatedAccount, service: str, method: str, arguments: dict[str, Any], permission: str
) -> None:
    account.boto3_session().events.register(f"before-call.{service}", denied)
    client = session.connect(stack()).client(service)
    with pytest.raises(ClientError) as error:
        getattr(client, method)(**arguments)
    assert session.explained(error.value) == f"Permission {permission} is missing: no"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (refusal("AccessDenied", Action="guardduty:GetDetector"), "Permission guardduty:GetDetector is missing: no"),
        (
            refusal("AccessDeniedException", "User x is not authorized to perform: sns:GetTopicAttributes on y"),
            "Permission sns:GetTopicAttributes is missing",
        ),
        (refusal("UnauthorizedOperation", Action="ec2:DescribeFlowLogs"), "Permission ec2:DescribeFlowLogs is missing"),
        (refusal("ExpiredToken"), "credentials have expired"),
        (refusal("ExpiredTokenException"), "credentials have expired"),
        (refusal("UnrecognizedClientException"), "check AWS_PROFILE and aws:region"),
        (refusal("ThrottlingException", Action="logs:StartQuery"), "still throttles logs:StartQuery after 8 attempts"),
        (refusal("ResourceNotFoundException", "gone"), "GetDetector failed: ResourceNotFoundException: gone"),
        (EndpointConnectionError(endpoint_url="https://x"), "AWS cannot be reached: "),
        (NoCredentialsError(), "No AWS credentials: set AWS_PROFILE"),
        (UnauthorizedSSOTokenError(), "credentials have expired"),
    ],
)
def test_what_aws_says_is_explained_in_one_line(error: Exception, said: str) -> None:
    assert said in session.explained(error)
    assert "\n" not in session.explained(error)


def test_throttled_calls_are_tried_again_with_backoff() -> None:
    connection = session.Aws(session.new_session(None, "eu-west-1"), "111122223333")
    retries = connection.client("sns").meta.config.retries
    assert retries == {"mode": "adaptive", "total_max_attempts": 9}
