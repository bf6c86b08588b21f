import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from threatmon.model.names import is_stack_name
from threatmon.model.settings import Settings, parse
from threatmon.stacks import template
from threatmon.stacks.template import Choice, Detector, Network, NotRead, as_numbers, kept_of, numbered
from tools.schema import stack_file_schema

ACCOUNT = "111122223333"
VPC, OTHER_VPC = "vpc-0123456789abcdef0", "vpc-0fedcba9876543210"
SUBNET, OTHER_SUBNET = "subnet-0123456789abcdef0", "subnet-0fedcba9876543210"
DETECTOR = "12abc34d567e8fa901bc2d34e56789f0"
ANYTHING = st.text(st.characters(exclude_categories=()))
STACKS = st.from_regex(r"\A(?!-)[A-Za-z0-9_.-]{1,100}\Z")
HEX = "0123456789abcdef"


def ids(prefix: str) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=17, max_size=17).map(lambda digits: f"{prefix}-{digits}")


NETWORKS = st.builds(
    Network,
    id=ids("subnet"),
    vpc_id=ids("vpc"),
    name=ANYTHING,
    cidr=st.sampled_from(["10.0.0.0/24", ""]),
    zone=st.sampled_from(["eu-west-1a", ""]),
    size=st.none() | st.integers(0, 65536),
    public=st.none() | st.booleans(),
    logged_to=st.lists(ANYTHING, max_size=2).map(tuple),
)
VPCS = NETWORKS.map(lambda it: it._replace(id=it.vpc_id))


def detector_with(fields: Any) -> Detector:
    return Detector(*fields)


DETECTOR_IDS = st.text(HEX, min_size=32, max_size=32)
PLANS = st.dictionaries(st.sampled_from(["s3", "eksAudit", "ai"]), st.booleans())
FREQUENCIES = st.none() | st.sampled_from(["FIFTEEN_MINUTES", "ONE_HOUR", "SIX_HOURS"])
REMARKS = st.tuples(ANYTHING)
DETECTORS = st.one_of(
    st.tuples(st.just("create"), REMARKS),
    st.tuples(st.just("lookup"), REMARKS, DETECTOR_IDS),
    st.tuples(st.just("import"), REMARKS, DETECTOR_IDS, PLANS, FREQUENCIES),
).map(detector_with)
CHOICES = st.builds(
    Choice,
    stack=STACKS,
    account_id=st.text("0123456789", min_size=12, max_size=12),
    region=st.sampled_from(["eu-west-1", "us-gov-east-1"]),
    networks=st.lists(NETWORKS | VPCS, min_size=1, max_size=4, unique_by=lambda it: it.id),
    emails=st.lists(st.sampled_from(["soc@example.com", "no+1@example.com", "1@example.com"]), min_size=1, unique=True),
    detector=DETECTORS,
    finding_types=st.lists(
        st.sampled_from(["*", "Recon:EC2/*", "Backdoor:EC2/C&CActivity.B!DNS"]), max_size=2, unique=True
    ),
)


def choice(**changes: Any) -> Choice:
    chosen: dict[str, Any] = {
        "stack": "prod",
        "account_id": ACCOUNT,
        "region": "eu-west-1",
        "networks": [Network(SUBNET, VPC, "app", "10.0.1.0/24", "eu-west-1a", 251, 200, public=True)],
        "emails": ["soc@example.com"],
        "detector": Detector("create", ("There is none.",)),
    }
    return Choice(**(chosen | changes))


def config_of(text: str) -> dict[str, Any]:
    content = yaml.safe_load(text)
    assert content.keys() == {"config"}
    return content["config"]


def own(config: dict[str, Any]) -> dict[str, Any]:
    prefix = "threat-monitor:"
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


# -- the text ---------------------------------------------------------------------------------------------------------


@given(CHOICES)
def test_whatever_names_are_like_the_file_says_what_was_chosen_and_no_more(chosen: Choice) -> None:
    text = template.text(chosen)
    config = config_of(text)
    assert own(config) == chosen.config
    assert config.keys() - {f"threat-monitor:{key}" for key in chosen.config} == {
        "aws:region",
        "aws:allowedAccountIds",
        "aws:defaultTags",
    }
    assert config["aws:region"] == chosen.region
    assert config["aws:allowedAccountIds"] == [chosen.account_id]
    assert config["aws:defaultTags"] == {"tags": {"project": "threat-monitor", "stack": chosen.stack}}
    settings, _ = parse(own(config))
    assert settings.subnet_ids + settings.vpc_ids == tuple(
        it.id for it in sorted(chosen.networks, key=lambda it: it.is_vpc)
    )
    assert settings.alert_emails == tuple(chosen.emails)
    assert settings.detector.mode == chosen.detector.mode
    assert settings.detector.id == chosen.detector.id
    assert all(line.isprintable() for line in text.split("\n"))


def with_every_key(text: str) -> str:
    """The file with the # taken away from every key; the # of prose has one space behind it."""
    return re.sub(r"(?m)^( *)#(?! \S)", r"\1", text)


@given(CHOICES)
def test_the_keys_that_are_comments_are_the_others_with_what_holds_anyway(chosen: Choice) -> None:
    text = template.text(chosen)
    settings, _ = parse(own(config_of(text)))
    complete = own(config_of(with_every_key(text)))
    assert parse(complete)[0] == settings
    assert sorted(complete) == sorted(str(it.alias) for it in Settings.model_fields.values())
    for it in Settings.model_fields.values():
        default = it.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            assert list(complete[str(it.alias)]) == [str(at.alias) for at in type(default).model_fields.values()]


def test_every_key_has_its_meaning_above_it() -> None:
    unwrapped = re.sub(r"\n *# ", " ", template.text(choice()))
    assert all(str(it.description) in unwrapped for it in Settings.model_fields.values())


@given(CHOICES)
def test_comments_stand_above_a_key_where_the_engine_leaves_them(chosen: Choice) -> None:
    assert template.text(chosen).split("\n")[-2:] == ["  threat-monitor:protect: true", ""]


def test_every_key_is_known_to_the_editor_that_the_first_line_speaks_to() -> None:
    text = template.text(choice())
    assert text.startswith("# yaml-language-server: $schema=./stack.schema.json\n")
    assert own(config_of(text)).keys() <= own(stack_file_schema()["properties"]["config"]["properties"]).keys()


def test_a_subnet_is_told_from_the_others_by_a_comment() -> None:
    text = template.text(choice())
    assert f"    - {SUBNET} # app, 10.0.1.0/24, in {VPC}, eu-west-1a, 251 addresses, public\n" in text


@pytest.mark.parametrize("stack", ["no", "ON", "null", "1e5", "0x1f", "1_000", "2026-01-01", ".inf", "12", "~x", "_"])
def test_what_yaml_would_read_as_something_else_than_text_is_quoted(stack: str) -> None:
    config = config_of(template.text(choice(stack=stack)))
    assert config["aws:defaultTags"]["tags"]["stack"] == stack


@pytest.mark.parametrize("detector_id", ["12345678901234567890123456789012", "123456789012345678901234567890e1"])
def test_a_detector_id_that_looks_like_a_number_is_quoted(detector_id: str) -> None:
    text = template.text(choice(detector=Detector("lookup", (), detector_id)))
    assert f'    id: "{detector_id}"\n' in text


def test_without_types_the_default_is_written_out_as_it_works() -> None:
    chosen, _ = parse(own(config_of(template.text(choice()))))
    default, _ = parse({"subnetIds": [SUBNET], "alertEmails": ["soc@example.com"]})
    assert (chosen.finding_types, chosen.severity_floor) == (default.finding_types, default.severity_floor)


def test_chosen_types_alert_from_low_upwards() -> None:
    text = template.text(choice(finding_types=["Recon:EC2/*"]))
    settings, _ = parse(own(config_of(text)))
    assert (settings.finding_types, settings.severity_floor) == (("Recon:EC2/*",), "low")
    assert "#threat-monitor:minimumSeverity: null\n" in text


def test_what_must_not_be_lost_is_protected_and_the_alert_path_watched() -> None:
    settings, _ = parse(own(config_of(template.text(choice()))))
    assert settings.protect
    assert settings.flow_logs.keep_on_destroy
    assert settings.health_emails == ("soc@example.com",)


def test_an_adopted_detector_is_declared_as_it_is() -> None:
    plans = {"s3": True, "eksAudit": False, "ai": True}
    text = template.text(choice(detector=Detector("import", (), DETECTOR, plans, "ONE_HOUR")))
    settings, _ = parse(own(config_of(text)))
    assert settings.protection_plans == plans
    assert settings.finding_publishing_frequency == "ONE_HOUR"


def test_a_subnet_in_a_vpc_that_is_chosen_too_overlaps() -> None:
    both = choice(networks=[Network(VPC, VPC), Network(SUBNET, VPC), Network(OTHER_SUBNET, OTHER_VPC)])
    assert both.overlaps == [SUBNET]
    assert choice().overlaps == []


# -- the file before --------------------------------------------------------------------------------------------------

BEFORE = """\
# yaml-language-server: $schema=./stack.schema.json
secretsprovider: awskms://alias/team?region=eu-west-1 # ours
encryptedkey: AQIC+/==
# what follows is old
config:
  aws:region: eu-west-1
  threat-monitor:alerts:
    subscribers: [{ protocol: https, endpoint: { secure: "v1:x:y" } }]
encryptionsalt: v1:abc=:v1:def:xyz==
environment:
  - shared

  - 'more: # no comment'

# the end
"""


def test_what_secrets_are_encrypted_with_and_imported_environments_are_kept_to_the_letter() -> None:
    kept = kept_of(BEFORE)
    assert kept.splitlines() == [
        "secretsprovider: awskms://alias/team?region=eu-west-1",
        "encryptedkey: AQIC+/==",
        "encryptionsalt: v1:abc=:v1:def:xyz==",
        "environment:",
        "  - shared",
        "",
        "  - 'more: # no comment'",
    ]


@given(st.dictionaries(st.sampled_from(["encryptionsalt", "secretsprovider", "encryptedkey", "environment"]), ANYTHING))
def test_whatever_is_not_config_reads_the_same_in_the_new_file(values: dict[str, str]) -> None:
    values = {key: value.encode("utf-8", "replace").decode() for key, value in values.items()}
    before = yaml.safe_dump({"config": {"aws:region": "x"}, **values}, allow_unicode=True)
    chosen = choice()
    after = yaml.safe_load(template.text(chosen, kept_of(before)))
    assert own(after.pop("config")) == chosen.config
    assert after == {key: value for key, value in yaml.safe_load(before).items() if key != "config"}
    assert after.keys() == values.keys()


@pytest.mark.parametrize("before", ["", "# nothing\n", "config:\n  a: b\n"])
def test_a_file_of_config_alone_leaves_nothing_to_keep(before: str) -> None:
    assert kept_of(before) == ""


# -- what an account has ----------------------------------------------------------------------------------------------


def vpc(**changes: Any) -> dict[str, Any]:
    return {"VpcId": VPC, "CidrBlock": "10.0.0.0/16", "OwnerId": ACCOUNT, **changes}


def subnet(**changes: Any) -> dict[str, Any]:
    return {
        "SubnetId": SUBNET,
        "VpcId": VPC,
        "CidrBlock": "10.0.1.0/24",
        "AvailabilityZone": "eu-west-1a",
        "AvailableIpAddressCount": 200,
        "OwnerId": ACCOUNT,
        **changes,
    }


def networks(
    subnets: list[dict[str, Any]] | None = None, logs: list[dict[str, Any]] | None = None, routes: Any = ()
) -> list[Network]:
    return template.networks("prod", ACCOUNT, [vpc()], subnets or [subnet()], logs or [], routes)


def test_a_vpc_stands_before_its_subnets_and_they_by_zone() -> None:
    found = networks([subnet(SubnetId=OTHER_SUBNET, AvailabilityZone="eu-west-1b"), subnet()])
    assert [it.id for it in found] == [VPC, SUBNET, OTHER_SUBNET]
    assert [it.is_vpc for it in found] == [True, False, False]


def test_a_subnet_has_name_size_and_free_addresses() -> None:
    found = networks([subnet(Tags=[{"Key": "name", "Value": "x"}, {"Key": "Name", "Value": "app"}])])[1]
    assert (found.name, found.cidr, found.size, found.free) == ("app", "10.0.1.0/24", 251, 200)


def test_a_subnet_without_ipv4_has_its_other_block_and_no_size() -> None:
    blocks = [{"Ipv6CidrBlock": "2001:db8::/64"}]
    ipv6 = {key: value for key, value in subnet(Ipv6CidrBlockAssociationSet=blocks).items() if key != "CidrBlock"}
    found = networks([ipv6])[1]
    assert (found.cidr, found.size) == ("2001:db8::/64", None)


def table(gateway: str, state: str = "active", **association: Any) -> dict[str, Any]:
    return {"VpcId": VPC, "Associations": [association], "Routes": [{"GatewayId": gateway, "State": state}]}


@pytest.mark.parametrize(
    ("tables", "public"),
    [
        ([table("igw-1", Main=True)], True),
        ([table("igw-1", Main=True), table("local", SubnetId=SUBNET)], False),
        ([table("local", Main=True), table("igw-1", SubnetId=SUBNET)], True),
        ([table("igw-1", "blackhole", Main=True)], False),
        ([], False),
        (NotRead("no"), None),
    ],
)
def test_a_subnet_is_public_by_the_routes_that_hold_for_it(tables: Any, public: bool | None) -> None:
    assert networks(routes=tables)[1].public is public


@pytest.mark.parametrize(
    ("log", "where"),
    [
        ({"LogGroupName": "old"}, "log group old"),
        ({"LogDestination": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/x/y:*"}, "log group /x/y"),
        ({"LogDestination": "arn:aws:s3:::bucket/prefix/"}, "arn:aws:s3:::bucket/prefix/"),
        ({}, "an unknown destination"),
    ],
)
def test_a_flow_log_says_where_it_goes(log: dict[str, Any], where: str) -> None:
    found = networks(logs=[{"ResourceId": SUBNET, **log}])
    assert [it.logged_to for it in found] == [(), (where,)]


def test_the_flow_log_of_a_vpc_is_one_of_its_subnets_too() -> None:
    found = networks(logs=[{"ResourceId": VPC, "LogGroupName": "old"}, {"ResourceId": SUBNET, "LogGroupName": "old"}])
    assert [it.logged_to for it in found] == [("log group old",), ("log group old",)]


def test_the_stacks_own_flow_logs_do_not_count() -> None:
    logs = [{"ResourceId": SUBNET, "LogGroupName": f"/threat-monitor/{stack}/flow-logs"} for stack in ("prod", "dev")]
    assert networks(logs=logs)[1].logged_to == ("log group /threat-monitor/dev/flow-logs",)


def test_a_shared_subnet_has_an_owner() -> None:
    assert [it.owner for it in networks([subnet(OwnerId="444455556666")])] == ["", "444455556666"]


# -- the detector -----------------------------------------------------------------------------------------------------


def described(*features: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"Status": "ENABLED", "FindingPublishingFrequency": "ONE_HOUR", "Features": features, **changes}


def feature(name: str, status: str = "ENABLED", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Status": status, **more}


def detector(answer: Any, administrator: Any = None) -> Detector:
    return template.detector("prod", [DETECTOR], answer, administrator)


def test_where_there_is_no_detector_one_is_made() -> None:
    found = template.detector("prod", [])
    assert (found.mode, found.id, found.plans, found.frequency) == ("create", None, {}, None)


def test_the_accounts_own_detector_is_adopted_with_the_plans_and_the_frequency_it_has() -> None:
    found = detector(described(feature("S3_DATA_EVENTS"), feature("RUNTIME_MONITORING", "DISABLED")), {})
    assert (found.mode, found.id) == ("import", DETECTOR)
    assert found.plans == {"s3": True, "runtime": False}
    assert found.frequency == "ONE_HOUR"
    assert len(found.remarks) == 1


@pytest.mark.parametrize(
    ("answer", "administrator", "who"),
    [
        (described(), {"Administrator": {"AccountId": "444455556666"}}, "administrator account 444455556666"),
        (described(feature("S3_DATA_EVENTS", ManagedBy="GUARDDUTY_POLICY")), {}, "A policy of the organisation"),
        (described(Tags={"project": "threat-monitor", "stack": "dev"}), {}, "The stack dev"),
    ],
)
def test_a_detector_that_somebody_else_manages_is_only_looked_up(answer: Any, administrator: Any, who: str) -> None:
    found = detector(answer, administrator)
    assert (found.mode, found.id, found.plans, found.frequency) == ("lookup", DETECTOR, {}, None)
    assert who in found.remarks[0]


@pytest.mark.parametrize(
    "tags",
    [{"project": "threat-monitor", "stack": "prod"}, {"project": "other", "stack": "dev"}, {"stack": "dev"}, {}],
)
def test_tags_of_no_other_stack_of_this_project_do_not_matter(tags: dict[str, str]) -> None:
    assert detector(described(Tags=tags), {"Administrator": {}}).mode == "import"


@pytest.mark.parametrize(
    ("administrator", "mode", "said"),
    [({}, "import", "enables it"), ({"Administrator": {"AccountId": "444455556666"}}, "lookup", "nothing is found")],
)
def test_a_suspended_detector_is_told(administrator: Any, mode: str, said: str) -> None:
    found = detector(described(Status="DISABLED"), administrator)
    assert found.mode == mode
    assert said in found.remarks[1]


def test_what_is_on_and_no_setting_is_about_is_told() -> None:
    parts = [feature("EC2_AGENT_MANAGEMENT"), feature("EKS_ADDON_MANAGEMENT", "DISABLED")]
    found = detector(
        described(
            feature("FLOW_LOGS"),
            feature("AI_ANALYST"),
            feature("EKS_RUNTIME_MONITORING", "DISABLED"),
            feature("RUNTIME_MONITORING", AdditionalConfiguration=parts),
        ),
        {},
    )
    assert found.remarks[1:] == (
        "Also on, and no setting of this stack: AI_ANALYST, EC2_AGENT_MANAGEMENT of RUNTIME_MONITORING.",
    )


def test_where_nothing_can_be_read_it_is_made_which_fails_if_there_is_one() -> None:
    found = template.detector("prod", NotRead("Permission x is missing."))
    assert (found.mode, found.id) == ("create", None)
    assert "Permission x is missing." in found.remarks[0]


@pytest.mark.parametrize(("answer", "administrator"), [(NotRead("why"), {}), (described(), NotRead("why"))])
def test_where_not_all_can_be_read_it_is_left_as_it_is(answer: Any, administrator: Any) -> None:
    found = detector(answer, administrator)
    assert (found.mode, found.id, found.plans) == ("lookup", DETECTOR, {})
    assert found.remarks[-1] == "why"


# -- names and numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prod", "prod-eu.west_1", "1", "_x", "a" * 100])
def test_names_that_pulumi_and_a_file_can_have(name: str) -> None:
    assert is_stack_name(name)


@pytest.mark.parametrize("name", ["", "org/prod", "../prod", "a b", "a\n", "-x", "ä", "a" * 101, "a\\b", "a:b", "a\0"])
def test_names_that_are_none(name: str) -> None:
    assert not is_stack_name(name)


@given(st.sets(st.integers(0, 60)))
def test_numbers_say_what_was_chosen(indexes: set[int]) -> None:
    assert numbered(as_numbers(indexes), 61) == sorted(indexes)


@pytest.mark.parametrize(
    ("answer", "indexes"), [("1,3-5", [0, 2, 3, 4]), ("2 1, 2", [1, 0]), ("", []), (" , ", []), ("5-5", [4])]
)
def test_numbers_and_ranges_are_read_with_commas_or_spaces(answer: str, indexes: list[int]) -> None:
    assert numbered(answer, 5) == indexes


@pytest.mark.parametrize("answer", ["0", "6", "1-6", "3-1", "x", "1-", "-1", "1--2", "1.5", "\u0661", "9" * 10])
def test_what_is_no_number_of_the_list_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=r"is no number from 1 to 5"):
        numbered(answer, 5)


def test_numbers_are_listed_as_ranges() -> None:
    assert as_numbers([4, 0, 2, 3]) == "1,3-5"
