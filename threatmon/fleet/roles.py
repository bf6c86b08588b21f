"""A role in each stack's account, for runs whose own credentials are of one account, or CI's identity alone."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from threatmon.errors import UsageError
from threatmon.fleet.targets import Target
from threatmon.stacks.facts import place_of
from threatmon.stacks.old_aws import Aws, connect, session_of

_AUDIENCE = "sts.amazonaws.com"
_SESSION_NAME = "threatmon"
_TIMEOUT_SECONDS = 30


def environment(target: Target, role: str) -> dict[str, str]:
    """Temporary credentials of a role in the stack's account, as the variables that AWS's SDKs read; see
    :func:`credentials`."""
    given = credentials(target, role)
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
        "AWS_PROFILE": "",  # it would win over the keys
    }


def session(target: Target, role: str) -> boto3.Session:
    """A session with the role's credentials."""
    return session_of(credentials(target, role), target.region)


def connected(target: Target, role: str | None) -> Aws:
    """The stack's account, with the credentials of the role, or of none those of this process."""
    return connect(target.file, session(target, role) if role else None)


def credentials(target: Target, role: str) -> Mapping[str, Any]:
    """Temporary credentials of a role (its name) in the stack's account, as STS gives them.

    The role is assumed with CI's identity where the run has one, else with the run's own credentials. Raises botocore's
    errors where AWS refuses, and :class:`UsageError` where CI's identity cannot be got.
    """
    place = place_of(target.file)
    request: dict[str, Any] = {
        "RoleArn": f"arn:{place.partition}:iam::{target.account_id}:role/{role}",
        "RoleSessionName": _SESSION_NAME,
    }
    token = identity_token(os.environ)
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html is called unsigned.
    sts: Any = boto3.Session(region_name=target.region).client(  # pyright: ignore[reportUnknownMemberType]
        "sts", config=Config(signature_version=UNSIGNED) if token else None
    )
    if token:
        answer = sts.assume_role_with_web_identity(**request, WebIdentityToken=token)
    else:
        answer = sts.assume_role(**request)
    return answer["Credentials"]


def identity_token(variables: Mapping[str, str]) -> str | None:
    """The identity that CI gives a job, where it gives one; asked for anew each time, since it is good for minutes.

    https://docs.github.com/en/actions/reference/security/oidc#methods-for-requesting-the-oidc-token
    Other systems put it into a file, or into a variable: https://docs.gitlab.com/ci/secrets/id_token_authentication/
    Raises :class:`UsageError` where there should be one, but cannot be got.
    """
    try:
        return _identity_token(variables)
    except (OSError, ValueError, LookupError) as error:
        if isinstance(error, HTTPError):  # it is the answer, too
            error.close()
        raise UsageError(f"CI's identity token cannot be got: {error}") from None


def _identity_token(variables: Mapping[str, str]) -> str | None:
    if "ACTIONS_ID_TOKEN_REQUEST_URL" in variables:
        request = Request(  # noqa: S310 - GitHub's own address
            f"{variables['ACTIONS_ID_TOKEN_REQUEST_URL']}&{urlencode({'audience': _AUDIENCE})}",
            headers={"Authorization": f"bearer {variables['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
        )
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
            return json.load(answer)["value"]
    if "AWS_WEB_IDENTITY_TOKEN_FILE" in variables:
        return Path(variables["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
    return variables.get("AWS_ID_TOKEN")
