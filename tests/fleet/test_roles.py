"""Against moto's STS, which takes any identity."""

import io
import json
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request

import boto3
import pytest
from examples import ACCOUNT
from moto import mock_aws
from scripted_account import ScriptedAccount

from threatmon.aws.errors import MissingCredentialsError, RefusedError
from threatmon.errors import UsageError
from threatmon.fleet import roles
from threatmon.fleet.targets import Target
from threatmon.model.settings import Settings
from threatmon.stacks.files import StackFile


def target(region: str = "eu-west-1") -> Target:
    config = {"aws:region": region, "aws:allowedAccountIds": [ACCOUNT]}
    return Target(StackFile("dev", config), Settings(), ACCOUNT, region)


class Sts:
    """What STS was asked, in the order of the requests."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.hosts: list[str] = []
        self.signed: list[bool] = []

    def note(self, request: Any, **_: object) -> None:
        self.asked.append({key: value for key, [value] in parse_qs(request.body).items()})
        self.hosts.append(str(urlsplit(request.url).hostname))
        self.signed.append("Authorization" in request.headers)


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sts]:
    """An STS, and sessions without credentials of their own but those of the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambient")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    sts = Sts()

    def new_session(_profile: str | None, region: str | None) -> boto3.Session:
        session = boto3.Session(region_name=region)
        session.events.register("before-send.sts", sts.note)
        return session

    monkeypatch.setattr("threatmon.aws.session.new_session", new_session)
    with mock_aws():
        yield sts


class GitHub:
    """Gives tokens, a new one each time; with a ``status`` of its own, it gives none."""

    variables: ClassVar[dict[str, str]] = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example.com/?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t0k3n",
    }

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.status = 200

    def urlopen(self, request: Request, timeout: float) -> io.BytesIO:
        assert timeout > 0
        self.asked.append((request.full_url, request.get_header("Authorization")))
        if self.status != 200:
            raise HTTPError(request.full_url, self.status, "Forbidden", Message(), None)
        return io.BytesIO(json.dumps({"value": f"token-{len(self.asked)}"}).encode())


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> GitHub:
    """A job on GitHub that may ask for tokens."""
    github = GitHub()
    monkeypatch.setattr(roles, "urlopen", github.urlopen)
    for name, value in github.variables.items():
        monkeypatch.setenv(name, value)
    return github


# -- the identity -----------------------------------------------------------------------------------------------------


def test_github_is_asked_for_a_new_token_each_time(github: GitHub) -> None:
    assert [roles.identity_token(github.variables) for _ in range(3)] == ["token-1", "token-2", "token-3"]
    url = "https://token.example.com/?api-version=2.0&audience=sts.amazonaws.com"
    assert github.asked == [(url, "bearer t0k3n")] * 3


def test_a_token_file_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    found: list[str | None] = []
    for token in ("first", "second"):
        file.write_text(f"{token}\n", encoding="utf-8")
        found.append(roles.identity_token({"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ID_TOKEN": "unused"}))
    assert found == ["first", "second"]


def test_a_token_may_be_a_variable_and_without_ci_there_is_none() -> None:
    assert roles.identity_token({"AWS_ID_TOKEN": "given", "ID_TOKEN": "another"}) == "given"
    assert roles.identity_token({"HOME": "/"}) is None


def test_if_github_gives_no_token_the_message_says_so_without_the_one_that_asks(github: GitHub) -> None:
    github.status = 403
    with pytest.raises(UsageError, match=r"identity token.*HTTP Error 403") as error:
        roles.identity_token(github.variables)
    assert "t0k3n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"}, "/nowhere/token"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "http://localhost/?"}, "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        ({"ACTIONS_ID_TOKEN_REQUEST_URL": "nonsense", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t0k3n"}, "nonsense"),
    ],
)
def test_what_is_missing_for_a_token_is_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match="identity token") as error:
        roles.identity_token(given)
    assert named in str(error.value)
    assert "t0k3n" not in str(error.value)


# -- the role ---------------------------------------------------------------------------------------------------------


def test_the_run_s_own_credentials_assume_the_role_in_the_stack_s_account(sts: Sts) -> None:
    given = roles.environment(target(), "deployer")
    [asked] = sts.asked
    assert {key: asked[key] for key in ("Action", "RoleArn", "RoleSessionName")} == {
        "Action": "AssumeRole",
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/deployer",
        "RoleSessionName": "threatmon",
    }
    assert "WebIdentityToken" not in asked
    assert sts.signed == [True]
    assert given.keys() == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"}
    assert given["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert given["AWS_SECRET_ACCESS_KEY"] != "ambient"
    assert given["AWS_SESSION_TOKEN"]
    assert given["AWS_PROFILE"] == ""  # one would win over the keys


def test_ci_s_identity_assumes_the_role_unsigned_and_without_credentials(
    sts: Sts, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    given = [roles.environment(target(), "preview") for _ in range(2)]
    assert sts.asked[0] | {"Version": ""} == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "",
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/preview",
        "RoleSessionName": "threatmon",
        "WebIdentityToken": "token-1",
    }
    assert [asked["WebIdentityToken"] for asked in sts.asked] == ["token-1", "token-2"]
    assert sts.signed == [False, False]
    assert len(github.asked) == 2
    assert all(keys["AWS_ACCESS_KEY_ID"].startswith("ASIA") for keys in given)


@pytest.mark.parametrize(
    ("region", "partition", "host"),
    [
        ("eu-west-1", "aws", "sts.eu-west-1.amazonaws.com"),
        ("cn-north-1", "aws-cn", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "sts.us-gov-west-1.amazonaws.com"),
    ],
)
def test_the_role_is_of_the_partition_that_the_region_is_in(sts: Sts, region: str, partition: str, host: str) -> None:
    roles.environment(target(region), "deployer")
    assert [asked["RoleArn"] for asked in sts.asked] == [f"arn:{partition}:iam::{ACCOUNT}:role/deployer"]
    assert sts.hosts == [host]


def test_a_stack_is_reached_with_the_role_s_credentials_in_its_region(sts: Sts) -> None:
    aws = roles.connected(target("eu-central-1"), "deployer")
    identity = aws.read("sts", "get_caller_identity")
    assert aws.region == "eu-central-1"
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/threatmon"
    assert [asked["Action"] for asked in sts.asked] == ["AssumeRole"]


def test_without_a_role_a_stack_is_reached_with_the_run_s_own_credentials(scripted: ScriptedAccount) -> None:
    assert roles.connected(target(), None).account_id == ACCOUNT
    assert scripted.calls == ["sts:GetCallerIdentity"]


def test_without_any_credentials_the_role_cannot_be_assumed(sts: Sts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(MissingCredentialsError):
        roles.environment(target(), "deployer")
    assert sts.asked == []


def test_what_aws_refuses_names_the_permission(scripted: ScriptedAccount) -> None:
    message = "User: a is not authorized to perform: sts:AssumeRole on resource: b"
    scripted.refuse("sts:AssumeRole", message=message)
    with pytest.raises(RefusedError, match="Permission sts:AssumeRole is missing"):
        roles.environment(target(), "deployer")


def test_a_region_that_aws_does_not_have_is_named() -> None:
    with pytest.raises(UsageError, match=r"Pulumi\.dev\.yaml: aws:region: nowhere is not a Region of AWS"):
        roles.environment(target("nowhere"), "deployer")
