import re
import string
from dataclasses import replace
from typing import Any

import pytest
from examples import ACCOUNT, DETECTOR_ID, EMAIL, OTHER_SUBNET, REGION, SUBNET, VPC
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from threatmon.model.names import is_stack_name
from threatmon.model.settings import FlowLogSettings, Settings, parse
from threatmon.stacks import yaml
from threatmon.stacks.detector_choice import DetectorChoice
from threatmon.stacks.networks import Network
from threatmon.stacks.template import NewStackFile, text
from tools.schema import stack_file_schema

ANYTHING = st.text(st.characters(exclude_categories=()))
HEX = "0123456789abcdef"


def ids(prefix: str) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=17, max_size=17).map(lambda digits: f"{prefix}-{digits}")


def detector_with(fields: Any) -> DetectorChoice:
    return DetectorChoice(*fields)


NETWORKS = st.builds(
    Network,
    id=ids("subnet"),
    vpc_id=ids("vpc"),
    name=ANYTHING,
    size=st.none() | st.integers(0, 65536),
    logged_to=st.lists(ANYTHING, max_size=2).map(tuple),
)
VPCS = NETWORKS.map(lambda network: network._replace(id=network.vpc_id))
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
    NewStackFile,
    stack=st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=100).filter(is_stack_name),
    account_id=st.text("0123456789", min_size=12, max_size=12),
    region=st.sampled_from([REGION, "us-gov-east-1"]),
    networks=st.lists(NETWORKS | VPCS, min_size=1, max_size=4, unique_by=lambda network: network.id),
    emails=st.lists(st.sampled_from([EMAIL, "no+1@example.com", "1@example.com"]), min_size=1, unique=True),
    detector=DETECTORS,
    finding_types=st.lists(
        st.sampled_from(["*", "Recon:EC2/*", "Backdoor:EC2/C&CActivity.B!DNS"]), max_size=2, unique=True
    ),
)


def choice(**changes: Any) -> NewStackFile:
    network = Network(SUBNET, VPC, "app", "10.0.1.0/24", "eu-west-1a", 251, 200, public=True)
    return replace(NewStackFile("prod", ACCOUNT, REGION, [network], [EMAIL], DetectorChoice("create", ())), **changes)


def config_of(text: str) -> dict[str, Any]:
    content = yaml.read(text)
    assert content.keys() == {"config"}
    return content["config"]


def own(config: dict[str, Any]) -> dict[str, Any]:
    prefix = "threat-monitor:"
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def settings(chosen: NewStackFile) -> Settings:
    return parse(own(config_of(text(chosen))))[0]


@given(CHOICES)
def test_whatever_names_are_like_the_file_says_what_was_chosen_and_no_more(chosen: NewStackFile) -> None:
    written = text(chosen)
    assert config_of(written) == {
        "aws:region": chosen.region,
        "aws:allowedAccountIds": [chosen.account_id],
        "aws:defaultTags": {"tags": {"project": "threat-monitor", "stack": chosen.stack}},
        **{f"threat-monitor:{key}": value for key, value in chosen.config.items()},
    }
    found = settings(chosen)
    assert {*found.subnet_ids, *found.vpc_ids} == {network.id for network in chosen.networks}
    assert found.alert_emails == tuple(chosen.emails)
    assert (found.detector.mode, found.detector.id) == (chosen.detector.mode, chosen.detector.id)
    assert all(line.isprintable() for line in written.split("\n"))
    # The engine moves comments at the end of the file out of the config.
    assert written.split("\n")[-2:] == ["  threat-monitor:protect: true", ""]


def with_every_key(text: str) -> str:
    """The file with the # taken away from every key; the # of prose has one space behind it."""
    return re.sub(r"(?m)^( *)#(?! \S)", r"\1", text)


@given(CHOICES)
def test_the_keys_that_are_comments_are_the_others_with_what_holds_anyway(chosen: NewStackFile) -> None:
    complete = own(config_of(with_every_key(text(chosen))))
    assert parse(complete)[0] == settings(chosen)
    assert complete.keys() == {field.alias for field in Settings.model_fields.values()}
    for field in Settings.model_fields.values():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            assert complete[str(field.alias)].keys() == default.model_dump(by_alias=True).keys()


def test_every_key_has_its_description_above_it() -> None:
    unwrapped = re.sub(r"\n *# ", " ", text(choice()))
    assert all(str(field.description) in unwrapped for field in Settings.model_fields.values())


def test_every_key_is_known_to_the_editor_that_the_first_line_speaks_to() -> None:
    written = text(choice())
    assert written.startswith("# yaml-language-server: $schema=./stack.schema.json\n# Stack prod, written by ")
    assert own(config_of(written)).keys() <= own(stack_file_schema()["properties"]["config"]["properties"]).keys()


def test_the_file_is_laid_out_for_people() -> None:
    written = text(choice(detector=DetectorChoice("lookup", ("A policy manages it.",), DETECTOR_ID)))
    assert f'  aws:allowedAccountIds: ["{ACCOUNT}"]\n' in written
    assert f"    - {SUBNET} # app, 10.0.1.0/24, in {VPC}, eu-west-1a, 251 addresses, public\n" in written
    described = {field.alias: field.description for field in Settings.model_fields.values()}
    kept = FlowLogSettings.model_fields["keep_on_destroy"].description
    assert f"\n\n  # {described['detector']}\n  # A policy manages it.\n  threat-monitor:detector:\n" in written
    assert f"\n\n  # {described['alerts']}\n  #threat-monitor:alerts:\n  #  # " in written
    assert f"\n    # {kept}\n    keepOnDestroy: true\n" in written
    assert max(map(len, written.split("\n"))) <= 120


def test_without_types_the_default_is_written_out_as_it_works() -> None:
    default, _ = parse({"subnetIds": [SUBNET], "alertEmails": [EMAIL]})
    found = settings(choice())
    assert (found.finding_types, found.severity_floor) == (default.finding_types, default.severity_floor)


def test_chosen_types_alert_from_low_upwards() -> None:
    chosen = choice(finding_types=["Recon:EC2/*"])
    assert (settings(chosen).finding_types, settings(chosen).severity_floor) == (("Recon:EC2/*",), "low")
    assert "#threat-monitor:minimumSeverity: null\n" in text(chosen)


def test_a_subnet_in_a_vpc_that_is_chosen_too_overlaps() -> None:
    both = choice(networks=[Network(VPC, VPC), Network(SUBNET, VPC), Network(OTHER_SUBNET, "vpc-0fedcba9")])
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
"""


def test_what_secrets_are_encrypted_with_and_imported_environments_are_kept_to_the_letter() -> None:
    written = text(choice(), BEFORE)
    assert written.partition("config:\n")[0].splitlines() == [
        "# yaml-language-server: $schema=./stack.schema.json",
        "# Stack prod, written by `threatmon init` from what the account had.",
        "secretsprovider: awskms://alias/team?region=eu-west-1",
        "encryptedkey: AQIC+/==",
        "encryptionsalt: v1:abc=:v1:def:xyz==",
        "environment:",
        "  - shared",
        "  - 'more: # no comment'",
    ]
    assert text(choice(), written) == written


KEPT = st.sampled_from(["encryptionsalt", "secretsprovider", "encryptedkey", "environment"])


@given(st.dictionaries(KEPT, st.text()))
def test_whatever_is_not_config_reads_the_same_in_the_new_file(values: dict[str, str]) -> None:
    after = yaml.read(text(choice(), yaml.write({"config": {"aws:region": "x"}, **values})))
    assert own(after.pop("config")) == choice().config
    assert after == values


@pytest.mark.parametrize("before", ["", "# nothing\n", "config:\n  a: b\n"])
def test_a_file_of_config_alone_leaves_nothing_to_keep(before: str) -> None:
    assert text(choice(), before) == text(choice())
