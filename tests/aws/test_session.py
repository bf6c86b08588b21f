from typing import Any

import pytest
from scripted_account import ScriptedAccount

from threatmon.aws import session
from threatmon.aws.errors import MissingCredentialsError, RefusedError
from threatmon.aws.reader import Aws
from threatmon.errors import UsageError

IDENTITY = "eyJ.a.b"
ROLE = "arn:aws:iam::111122223333:role/reader"
KEYS = {"AccessKeyId": "ASIAEXAMPLEEXAMPLE00", "SecretAccessKey": "secret", "SessionToken": "token"}
CREDENTIALS = KEYS | {"Expiration": "2030-01-01T00:00:00Z"}


def connect(**changes: Any) -> Aws:
    given = {"profile": None, "region": "eu-west-1", "roles": [], "allowed_accounts": ["111122223333"]}
    connecting: Any = session.connect
    return connecting(source="Pulumi.dev.yaml", **given | changes)


def test_a_stack_gets_its_account(scripted: ScriptedAccount) -> None:
    aws = connect()
    assert (aws.account_id, aws.region, aws.partition) == ("111122223333", "eu-west-1", "aws")
    assert scripted.calls == ["sts:GetCallerIdentity"]


@pytest.mark.usefixtures("scripted")
def test_any_account_is_taken_if_the_file_names_none() -> None:
    assert connect(allowed_accounts=[]).account_id == "111122223333"


@pytest.mark.usefixtures("scripted")
def test_credentials_of_another_account_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"of account 111122223333, but Pulumi\.dev\.yaml allows 444455556666, 7"):
        connect(allowed_accounts=["444455556666", "7"])


def test_a_missing_region_says_what_to_set() -> None:
    with pytest.raises(UsageError, match=r"^Pulumi\.dev\.yaml: aws:region is not set; run `pulumi config set aws:reg"):
        connect(region=None)


def test_missing_credentials_say_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(MissingCredentialsError, match="set AWS_PROFILE"):
        connect()


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(UsageError, match=r"aws:profile: .*nobody"):
        connect(profile="nobody")


def test_roles_are_assumed_one_after_the_other(scripted: ScriptedAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    scripted.answer("sts:AssumeRole", lambda given: asked.append(given) or {"Credentials": CREDENTIALS})
    monkeypatch.setattr(session, "session_of", lambda _credentials, _region: scripted.session)
    aws = connect(roles=[{"roleArn": ROLE, "externalId": "xyz"}, {"roleArn": f"{ROLE}2", "sessionName": "ann"}])
    assert asked == [
        {"RoleArn": ROLE, "RoleSessionName": "threatmon", "ExternalId": "xyz"},
        {"RoleArn": f"{ROLE}2", "RoleSessionName": "ann"},
    ]
    assert aws.account_id == "111122223333"


def test_a_role_that_may_not_be_assumed_names_the_permission(scripted: ScriptedAccount) -> None:
    scripted.refuse("sts:AssumeRole")
    with pytest.raises(RefusedError, match=r"^Permission sts:AssumeRole is missing: no$"):
        connect(roles=[{"roleArn": ROLE}])


@pytest.mark.parametrize("role", [None, "reader", [ROLE], {}, {"roleArn": 5}, {"roleArn": ROLE, "externalId": None}])
def test_a_malformed_role_is_a_fault_of_the_file(scripted: ScriptedAccount, role: object) -> None:
    with pytest.raises(UsageError, match=r"^Pulumi\.dev\.yaml: aws:assumeRoles\[1\] must be texts under roleArn"):
        connect(roles=[{"roleArn": ROLE}, role])
    assert scripted.calls == []


def test_a_session_has_the_credentials_that_sts_gave() -> None:
    made = session.session_of(CREDENTIALS, "eu-west-1")
    credentials: Any = made.get_credentials()
    assert credentials.get_frozen_credentials()[:3] == ("ASIAEXAMPLEEXAMPLE00", "secret", "token")
    assert made.region_name == "eu-west-1"


def test_an_identity_token_takes_the_place_of_credentials(scripted: ScriptedAccount) -> None:
    asked: list[dict[str, Any]] = []
    scripted.answer("sts:AssumeRoleWithWebIdentity", lambda given: asked.append(given) or {"Credentials": CREDENTIALS})
    role = {"RoleArn": ROLE, "RoleSessionName": "threatmon"}
    assert session.assume_role(scripted.session, role, IDENTITY)["SessionToken"] == "token"
    assert asked == [role | {"WebIdentityToken": IDENTITY}]
