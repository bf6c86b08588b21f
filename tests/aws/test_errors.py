from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from threatmon.aws.errors import (
    AwsError,
    CredentialsError,
    MissingCredentialsError,
    NotThereError,
    RefusedError,
    ThrottledError,
    translated,
)

ACTION = "guardduty:GetDetector"
EXPIRED = "The AWS credentials have expired; renew them (`aws sso login`, or a new session) and try again."
UNKNOWN = "AWS does not accept the credentials in this Region ({code}); check AWS_PROFILE and aws:region."
FAILED = "guardduty:GetDetector failed: {code}: no"

CASES = [
    (RefusedError, "AccessDenied AccessDeniedException AuthorizationError UnauthorizedOperation"),
    (NotThereError, "AWS.SimpleQueueService.NonExistentQueue InvalidInstanceID.Malformed InvalidInstanceID.NotFound"),
    (NotThereError, "NoSuchEntity NotFound NotFoundException QueueDoesNotExist ResourceNotFound"),
    (NotThereError, "ResourceNotFoundException"),
    (ThrottledError, "RequestLimitExceeded RequestThrottled Throttled ThrottledException Throttling"),
    (ThrottledError, "ThrottlingException TooManyRequestsException"),
    (CredentialsError, "ExpiredToken ExpiredTokenException RequestExpired"),
    (CredentialsError, "AuthFailure InvalidClientTokenId SignatureDoesNotMatch UnrecognizedClientException"),
    (AwsError, "BadRequestException KMSAccessDeniedException KMSNotFoundException LimitExceededException"),
]


def answered(code: str, message: str = "no") -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}}
    return ClientError(response, "GetDetector")


@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, codes in CASES for code in codes.split()])
def test_each_code_of_aws_is_an_error_of_its_kind(kind: type[AwsError], code: str) -> None:
    error = AwsError.of(answered(code), ACTION)
    assert type(error) is kind
    assert (error.action, error.code, error.message, error.exit_code) == (ACTION, code, "no", 1)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("AccessDenied", "Permission guardduty:GetDetector is missing: no"),
        ("NotFound", FAILED),
        ("Throttling", "AWS still throttles guardduty:GetDetector after 8 attempts; try again later."),
        ("ExpiredToken", EXPIRED),
        ("AuthFailure", UNKNOWN),
        ("BadRequestException", FAILED),
    ],
)
def test_each_kind_has_its_sentence(code: str, sentence: str) -> None:
    assert str(AwsError.of(answered(code), ACTION)) == sentence.format(code=code)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (exceptions.NoCredentialsError(), MissingCredentialsError, "No AWS credentials: set AWS_PROFILE, or aws:prof"),
        (exceptions.UnauthorizedSSOTokenError(), CredentialsError, EXPIRED),
        (
            exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            CredentialsError,
            "The AWS credentials cannot be read: Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY",
        ),
        (exceptions.EndpointConnectionError(endpoint_url="x"), AwsError, "AWS cannot be reached: Could not connect"),
        (exceptions.ReadTimeoutError(endpoint_url="x"), AwsError, "AWS cannot be reached: Read timeout"),
        (
            exceptions.ParamValidationError(report="Missing required\n parameter"),
            AwsError,
            "guardduty:GetDetector failed: ParamValidationError: Parameter validation failed: Missing required param",
        ),
    ],
)
def test_an_error_without_an_answer_says_on_one_line_what_to_do(
    error: BotoCoreError, kind: type[AwsError], sentence: str
) -> None:
    made = AwsError.of(error, ACTION)
    assert (type(made), made.code) == (kind, type(error).__name__)
    assert made.exit_code == (2 if kind is MissingCredentialsError else 1)
    assert str(made).startswith(sentence)
    assert "\n" not in str(made)


def test_a_refusal_names_the_permission_that_aws_names() -> None:
    message = "User: arn:aws:iam::111122223333:user/x is not authorized to perform: sns:GetTopicAttributes on y"
    error = AwsError.of(answered("AccessDeniedException", message), "sns:GetSubscriptionAttributes")
    assert error.action == "sns:GetTopicAttributes"
    assert str(error) == f"Permission sns:GetTopicAttributes is missing: {message}"


def test_a_detector_of_another_account_is_not_there_although_guardduty_calls_it_a_bad_request() -> None:
    message = "The request is rejected because the input detectorId is not owned by the current account."
    error = AwsError.of(answered("BadRequestException", message), ACTION)
    assert isinstance(error, NotThereError)
    assert str(error) == f"guardduty:GetDetector failed: BadRequestException: {message}"


def test_braces_in_what_aws_says_are_text() -> None:
    assert (
        str(AwsError.of(answered("Oops", "{action} {}"), ACTION)) == "guardduty:GetDetector failed: Oops: {action} {}"
    )


def test_an_error_that_is_not_botocores_passes() -> None:
    with pytest.raises(KeyError), translated(ACTION):
        raise KeyError
