"""The errors of calls to AWS: refused, not there, throttled, wrong credentials; and their wording."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from threatmon.errors import CHECK_FAILED, WRONG_USE, ThreatmonError

MAX_ATTEMPTS = 8

_FAILED = "{action} failed: {code}: {message}"
_FORBIDDEN = "Permission {action} is missing: {message}"
_THROTTLED = f"AWS still throttles {{action}} after {MAX_ATTEMPTS} attempts; try again later."
_UNREACHABLE = "AWS cannot be reached: {message}"
_NO_CREDENTIALS = "No AWS credentials: set AWS_PROFILE, or aws:profile in the stack file."
_EXPIRED = "The AWS credentials have expired; renew them (`aws sso login`, or a new session) and try again."
_UNKNOWN = "AWS does not accept the credentials in this Region ({code}); check AWS_PROFILE and aws:region."
_UNREADABLE = "The AWS credentials cannot be read: {message}"


class AwsError(ThreatmonError):
    """Say in one line why a call to AWS failed, and what to do.

    ``action`` is what the call needs, as IAM names it (``sqs:DeleteMessage``); ``code`` and ``message`` are AWS's own,
    or the name and text of botocore's error if AWS did not answer.
    """

    exit_code = CHECK_FAILED

    def __init__(self, text: str, action: str, code: str, message: str) -> None:
        super().__init__(" ".join(text.format(action=action, code=code, message=message).split()))
        self.action, self.code, self.message = action, code, message

    @staticmethod
    def of(error: BotoCoreError | ClientError, action: str) -> "AwsError":
        """Make the error that fits botocore's; ``action`` is what the failed call needed."""
        code, message = type(error).__name__, str(error)
        if isinstance(error, ClientError):
            details: Any = error.response.get("Error", {})
            code, message = str(details.get("Code", "")), str(details.get("Message", error))
        if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError):
            return AwsError(_UNREACHABLE, action, code, message)
        if "detectorId is not owned" in message:  # GuardDuty's code for it is BadRequestException
            return NotThereError(_FAILED, action, code, message)
        known = ((kind, text) for kind, text, codes in _KINDS if re.fullmatch(codes, code))
        kind, text = next(known, (AwsError, _FAILED))
        named = re.search(r"not authorized to perform:? ([\w-]+:\w+)", message) if kind is RefusedError else None
        return kind(text, named[1] if named else action, code, message)


class RefusedError(AwsError):
    """Name the missing permission: ``action``."""


class NotThereError(AwsError):
    """Say that a resource does not exist (any more)."""


class ThrottledError(AwsError):
    """Say that AWS still throttled a call on the last attempt."""


class CredentialsError(AwsError):
    """Say that the credentials have expired, cannot be read or are not accepted."""


class MissingCredentialsError(CredentialsError):
    """Say that there are no credentials."""

    exit_code = WRONG_USE


@contextmanager
def translated(action: str) -> Generator[None]:
    """Raise :class:`AwsError` in place of botocore's errors."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise AwsError.of(error, action) from error


_GONE = (
    r"(Resource)?NotFound(Exception)?|NoSuchEntity|\w+DoesNotExist|AWS\.SimpleQueueService\.NonExistentQueue"
    # EC2 has codes for each type of resource (InvalidInstanceID.NotFound).
    r"|Invalid\w+\.(NotFound|Malformed)"
)
_RENEWABLE = (
    r"ExpiredToken(Exception)?|RequestExpired|Login(RefreshRequired|TokenLoadError)|SSOTokenLoadError"
    r"|TokenRetrievalError|UnauthorizedSSOTokenError"
)
_BUSY = r"RequestLimitExceeded|RequestThrottled|Throttl(ed|ing)(Exception)?|TooManyRequestsException"
_KINDS: tuple[tuple[type[AwsError], str, str], ...] = (
    (RefusedError, _FORBIDDEN, r"AccessDenied(Exception)?|AuthorizationError|UnauthorizedOperation"),
    (NotThereError, _FAILED, _GONE),
    (ThrottledError, _THROTTLED, _BUSY),
    (MissingCredentialsError, _NO_CREDENTIALS, "NoCredentialsError"),
    (CredentialsError, _EXPIRED, _RENEWABLE),
    (CredentialsError, _UNKNOWN, "AuthFailure|InvalidClientTokenId|SignatureDoesNotMatch|UnrecognizedClientException"),
    (CredentialsError, _UNREADABLE, "(CredentialRetrieval|PartialCredentials)Error"),
)
