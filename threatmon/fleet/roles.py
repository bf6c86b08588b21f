"""The role to assume in each stack's account (``--role``), with the run's own credentials or CI's identity token."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from threatmon.aws import session as sessions
from threatmon.aws.reader import Aws
from threatmon.errors import UsageError
from threatmon.fleet.targets import Target
from threatmon.stacks.connect import connect
from threatmon.stacks.location import location_of

_AUDIENCE = "sts.amazonaws.com"
_TIMEOUT_SECONDS = 30


def environment(target: Target, role: str) -> dict[str, str]:
    """Return :func:`credentials` as the variables that AWS's SDKs read."""
    given = credentials(target, role)
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
        "AWS_PROFILE": "",  # it would win over the keys
    }


def connected(target: Target, role: str | None) -> Aws:
    """Return the stack's account, reached by the role, or if there is none by the credentials of this process."""
    return connect(target.file, sessions.session_of(credentials(target, role), target.region) if role else None)


def credentials(target: Target, role: str) -> Mapping[str, Any]:
    """Return temporary credentials of a role (its name) in the stack's account, as STS gives them.

    The role is assumed with CI's identity if the run has one, else with the run's own credentials. Raises
    :class:`threatmon.aws.errors.AwsError`, and :class:`UsageError` if CI does not give its identity.
    """
    parameters = {
        "RoleArn": f"arn:{location_of(target.file).partition}:iam::{target.account_id}:role/{role}",
        "RoleSessionName": sessions.SESSION_NAME,
    }
    return sessions.assume_role(sessions.new_session(None, target.region), parameters, identity_token(os.environ))


def identity_token(variables: Mapping[str, str]) -> str | None:
    """Return the identity that CI gives a job, None if it gives none; new each time, since it is good for minutes.

    https://docs.github.com/en/actions/reference/security/oidc#methods-for-requesting-the-oidc-token
    Other systems put it into a file, or into a variable: https://docs.gitlab.com/ci/secrets/id_token_authentication/
    Raises :class:`UsageError` if there should be one, but it cannot be read.
    """
    try:
        if "ACTIONS_ID_TOKEN_REQUEST_URL" in variables:
            url = f"{variables['ACTIONS_ID_TOKEN_REQUEST_URL']}&{urlencode({'audience': _AUDIENCE})}"
            headers = {"Authorization": f"bearer {variables['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
            request = Request(url, headers=headers)  # noqa: S310 - GitHub's own address
            with urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
                return json.load(answer)["value"]
        if "AWS_WEB_IDENTITY_TOKEN_FILE" in variables:
            return Path(variables["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
        return variables.get("AWS_ID_TOKEN")
    except (OSError, ValueError, LookupError) as error:
        if isinstance(error, HTTPError):  # it is the answer, too
            error.close()
        raise UsageError(f"CI's identity token cannot be read: {error}") from None
