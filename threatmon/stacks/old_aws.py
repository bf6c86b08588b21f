"""The stack's account, through boto3 with ordinary credentials, and what to do when AWS says no."""

import re
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.loaders import Loader, create_loader
from botocore.session import Session

from threatmon.errors import UsageError
from threatmon.stacks.files import StackFile

# Throttled calls are tried again, ever more slowly: https://docs.aws.amazon.com/boto3/latest/guide/retries.html
_ATTEMPTS = 8
_CONFIG = Config(retries={"mode": "adaptive", "max_attempts": _ATTEMPTS}, user_agent_extra="threatmon")
# IAM names few services otherwise than their endpoints do.
_ACTION_PREFIXES = {"monitoring": "cloudwatch"}

_NO_CREDENTIALS = "No AWS credentials: set AWS_PROFILE, or aws:profile in the stack file."
_RENEW = "The AWS credentials have expired; renew them (`aws sso login`, or a new session) and try again."
_OWN_WORDS = {
    (NoCredentialsError,): _NO_CREDENTIALS,
    (SSOTokenLoadError, TokenRetrievalError, UnauthorizedSSOTokenError): _RENEW,
}
_EXPIRED = frozenset(["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
_UNKNOWN = frozenset(["InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "SignatureDoesNotMatch"])
_DENIED = frozenset(["AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"])
_THROTTLED = frozenset(
    [
        "RequestLimitExceeded",
        "RequestThrottled",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    ]
)


class Aws:
    """One account and Region. Clients are made once; a failed call's error carries the IAM action it needed."""

    def __init__(self, session: boto3.Session, account_id: str) -> None:
        self._session = session
        self.account_id = account_id
        self.region = str(session.region_name)
        self.partition = str(session.get_partition_for_region(self.region))
        self._clients: dict[str, Any] = {}
        self._lock = Lock()  # boto3's sessions are not made for threads, its clients are

    def client(self, service: str) -> Any:
        """The client of a service."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = _client(self._session, service)
            return self._clients[service]


def _client(session: boto3.Session, service: str) -> Any:
    client: Any = session.client(service, config=_CONFIG)  # pyright: ignore[reportCallIssue, reportArgumentType]
    client.meta.events.register("after-call", _note_action)
    return client


def connect(stack: StackFile, session: boto3.Session | None = None) -> Aws:
    """The account of a stack: its profile and roles, where the stack file names any, else the environment's, or those
    of a ``session``.

    Raises :class:`UsageError` where there is no Region or no credentials, or where they are of an account the stack may
    not touch.
    """
    session = session or new_session(stack.config.get("aws:profile"), stack.region)
    if not session.region_name:
        raise UsageError(
            f"Pulumi.{stack.name}.yaml: aws:region is not set; run `pulumi config set aws:region <region>`"
        )
    try:
        for role in stack.config.get("aws:assumeRoles") or []:
            session = _assumed(session, role)
        account_id = _client(session, "sts").get_caller_identity()["Account"]
    except NoCredentialsError:
        raise UsageError(_NO_CREDENTIALS) from None
    if stack.account_ids and account_id not in stack.account_ids:
        raise UsageError(
            f"The credentials are of account {account_id}, but Pulumi.{stack.name}.yaml allows "
            f"{', '.join(stack.account_ids)} (aws:allowedAccountIds). Use another profile, or aws:assumeRoles."
        )
    return Aws(session, account_id)


def new_session(profile: str | None, region: str | None) -> boto3.Session:
    """A session with the user's own credentials. Raises :class:`UsageError` for a profile that does not exist."""
    try:
        return _session(profile, region)
    except BotoCoreError as error:
        raise UsageError(f"aws:profile: {error}") from None


def _assumed(session: boto3.Session, role: Mapping[str, Any]) -> boto3.Session:
    optional = {"ExternalId": role["externalId"]} if "externalId" in role else {}
    answer = _client(session, "sts").assume_role(
        RoleArn=role["roleArn"], RoleSessionName=role.get("sessionName", "threatmon"), **optional
    )
    return session_of(answer["Credentials"], session.region_name)


def session_of(credentials: Mapping[str, Any], region: str | None) -> boto3.Session:
    """A session with temporary credentials as STS gives them (``AccessKeyId``, ``SecretAccessKey``...)."""
    return _session(
        None,
        region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def _session(profile: str | None, region: str | None, **credentials: str) -> boto3.Session:
    session = Session(profile=profile)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return boto3.Session(botocore_session=session, region_name=region, **credentials)


@cache
def _loader(data_path: str | None) -> Loader:
    """Keeps the service models it has read, for all sessions: reading them takes longer than most calls."""
    return create_loader(data_path)


def _note_action(parsed: dict[str, Any], model: Any, **_: object) -> None:
    if "Error" in parsed:
        prefix = model.service_model.signing_name
        name = model.name.removesuffix("Batch") if prefix == "sqs" else model.name  # IAM has no batch actions
        parsed["Error"]["Action"] = f"{_ACTION_PREFIXES.get(prefix, prefix)}:{name}"


def explained(error: Exception) -> str:
    """What went wrong with a call to AWS and what to do, in one sentence or two."""
    if not isinstance(error, ClientError):
        known = (text for types, text in _OWN_WORDS.items() if isinstance(error, types))
        return next(known, f"AWS cannot be reached: {error}")
    details: Any = error.response.get("Error", {})
    code, message = details.get("Code", ""), details.get("Message", str(error))
    action = details.get("Action", error.operation_name)
    if code in _DENIED:
        named = re.search(r"not authorized to perform:? ([\w-]+:\w+)", message)
        return f"Permission {named[1] if named else action} is missing: {message}"
    if code in _EXPIRED:
        return _RENEW
    if code in _UNKNOWN:
        return f"AWS does not accept the credentials in this Region ({code}); check AWS_PROFILE and aws:region."
    if code in _THROTTLED:
        return f"AWS still throttles {action} after {_ATTEMPTS} attempts; try again later."
    return f"{action} failed: {code}: {message}"
