"""Sessions: the user's own credentials, and the roles they assume."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader, create_loader
from botocore.session import Session

from threatmon.aws.reader import Aws
from threatmon.aws.regions import location_in_region
from threatmon.errors import UsageError

SESSION_NAME = "threatmon"
# What a stack file calls the parameters of AssumeRole.
_ROLE_KEYS = {"roleArn": "RoleArn", "sessionName": "RoleSessionName", "externalId": "ExternalId"}


def connect(
    *,
    profile: str | None,
    region: str | None,
    roles: Sequence[object],
    allowed_accounts: Collection[str],
    source: str,
    session: boto3.Session | None = None,
) -> Aws:
    """Open the account of a stack file, given its settings (``roles``: aws:assumeRoles, unchecked) and its name.

    ``session`` is used in place of the profile's or the environment's. Raises :class:`UsageError` for faults of the
    file and an account it does not allow, and :class:`threatmon.aws.errors.AwsError`.
    """
    assumed = [_parameters(role, f"{source}: aws:assumeRoles[{index}]") for index, role in enumerate(roles)]
    session = session or new_session(profile, region)
    location_in_region(session.region_name, source)
    for role in assumed:
        session = session_of(assume_role(session, role), session.region_name)
    aws = Aws(session)
    account_id = aws.account_id
    if allowed_accounts and account_id not in allowed_accounts:
        raise UsageError(
            f"The credentials are of account {account_id}, but {source} allows {', '.join(allowed_accounts)} "
            "(aws:allowedAccountIds). Use another profile, or aws:assumeRoles."
        )
    return aws


def new_session(profile: str | None, region: str | None) -> boto3.Session:
    """Make a session with the user's own credentials. Raises :class:`UsageError` for a profile that does not exist."""
    try:
        return _session(profile, region)
    except BotoCoreError as error:
        raise UsageError(f"aws:profile: {error}") from None


def assume_role(
    session: boto3.Session, role: Mapping[str, str], identity_token: str | None = None
) -> Mapping[str, Any]:
    """Return temporary credentials as STS does (``AccessKeyId``...), for the session's credentials or an OIDC token.

    ``role`` has the parameters of AssumeRole (``RoleArn``...). Raises :class:`threatmon.aws.errors.AwsError`.
    """
    if identity_token is None:
        return Aws(session).call("sts", "assume_role", **role)["Credentials"]
    # Unsigned: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    aws = Aws(session, Config(signature_version=UNSIGNED))
    return aws.call("sts", "assume_role_with_web_identity", **role, WebIdentityToken=identity_token)["Credentials"]


def session_of(credentials: Mapping[str, Any], region: str | None) -> boto3.Session:
    """Make a session with temporary credentials of STS."""
    return _session(
        None,
        region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def _parameters(role: Any, subject: str) -> dict[str, str]:
    given = {name: role[key] for key, name in _ROLE_KEYS.items() if key in role} if isinstance(role, Mapping) else {}
    if "RoleArn" not in given or not all(isinstance(value, str) for value in given.values()):
        raise UsageError(f"{subject} must be texts under roleArn and, if needed, sessionName and externalId")
    return {"RoleSessionName": SESSION_NAME, **given}


def _session(profile: str | None, region: str | None, **credentials: str) -> boto3.Session:
    session = Session(profile=profile)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return boto3.Session(botocore_session=session, region_name=region, **credentials)


@cache
def _loader(data_path: str | None) -> Loader:
    """Return a loader for all sessions: reading service models takes longer than most calls."""
    return create_loader(data_path)
