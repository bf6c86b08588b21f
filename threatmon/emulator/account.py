"""One AWS account in one Region, emulated in this process by moto."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from ipaddress import IPv4Network
from itertools import islice
from threading import Lock
from types import MappingProxyType
from typing import Any, Self, cast
from unittest.mock import patch

import boto3
from botocore.loaders import Loader
from botocore.session import Session

from threatmon.aws.regions import location_in_region
from threatmon.emulator.inside import MachineExecution, Notification
from threatmon.emulator.moto_gaps import close_gaps

_LOADER = Loader()  # keeps the service models it has read, for all accounts
_SEEDED_VPC = "vpc-0000000000000feed"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "emulated",
    "AWS_SECRET_ACCESS_KEY": "emulated",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # a catalogue that nothing here asks for, and each account would read
}


class EmulatedAccount(AbstractContextManager["EmulatedAccount"]):
    """Holds an AWS account while the context is open; its clients get AWS-shaped answers and reach no network.

    `account_id` is the 12-digit id, `region` any Region of AWS (`UsageError` otherwise), `default_tags` what every
    taggable resource gets. Accounts may be nested; the data of all is dropped when the outermost closes.
    """

    def __init__(self, account_id: str, region: str, default_tags: Mapping[str, str] = MappingProxyType({})) -> None:
        self.account_id = account_id
        self.region = region
        self.default_tags = default_tags
        self.location = location_in_region(region, "the emulated account", account_id)
        self.notifications: list[Notification] = []
        """what subscribers got, of whatever was published"""
        self.executions: list[MachineExecution] = []
        """how state machines ran"""
        self._clients: dict[str, Any] = {}
        self._lock = Lock()
        self._named: Counter[str] = Counter()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Replace the user's own AWS settings, and AWS by moto."""
        from moto import mock_aws  # noqa: PLC0415 - takes a fifth of a second, only if an account is opened

        self._open.enter_context(patch.dict(os.environ))
        for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_"))]:
            del os.environ[name]
        os.environ.update(_CREDENTIALS, AWS_DEFAULT_REGION=self.region)
        self._open.enter_context(mock_aws())
        return self

    def __exit__(self, *_: object) -> None:
        """Restore both."""
        for kept in (self._clients, self.notifications, self.executions):
            kept.clear()
        self._open.close()

    @cached_property
    def _session(self) -> Session:
        session = Session()
        session.set_credentials("emulated", "emulated")
        session.register_component("data_loader", _LOADER)
        session.register("request-created.iam", self._name_region)
        close_gaps(session.get_component("event_emitter"), self)
        return session

    def _name_region(self, request: Any, **_: Any) -> None:
        # moto reads the partition off the host name, and IAM's in GovCloud (iam.us-gov) names no region.
        request.url = f"https://iam.{self.region}.{self.location.dns_suffix}/"

    def boto3_session(self) -> boto3.Session:
        """Return a session in this account and Region, for code that makes its own clients."""
        return boto3.Session(botocore_session=self._session, region_name=self.region)

    def client(self, service: str) -> Any:
        """Return the boto3 client of `service` in this account and Region; it is made once."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.create_client(service, self.region)
            return self._clients[service]

    def backend(self, service: str) -> Any:
        """Return moto's store of a regional service, for what no API call can set."""
        from moto.backends import get_backend  # noqa: PLC0415 - as above

        stores: Any = cast("Any", get_backend)(service)  # one overload a service
        return stores[self.account_id][self.region]

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a regional resource of this account."""
        return self.location.arn(service, resource)

    def automatic_name(self, name: str) -> str:
        """Return `name` and seven hexadecimal digits, as Pulumi names a resource: each run draws the same.

        https://www.pulumi.com/docs/iac/concepts/resources/names/#autonaming
        """
        self._named[name] += 1
        seed = f"{self.account_id}/{self.region}/{name}/{self._named[name]}"
        return f"{name}-{hashlib.sha256(seed.encode()).hexdigest()[:7]}"

    # What a stack refers to but does not create. moto draws these ids at random; here the draw is replaced.

    def seed_vpc(self, vpc_id: str) -> None:
        """Make a VPC of exactly this id, unless there is one."""
        if vpc_id not in self.backend("ec2").vpcs:
            with patch("moto.ec2.models.vpcs.random_vpc_id", return_value=vpc_id):
                self.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")

    def seed_subnet(self, subnet_id: str, vpc_id: str = _SEEDED_VPC) -> None:
        """Make a subnet of exactly this id, unless there is one."""
        subnets = [subnet for zone in self.backend("ec2").subnets.values() for subnet in zone.values()]
        if subnet_id in {subnet.id for subnet in subnets}:
            return
        self.seed_vpc(vpc_id)
        taken = sum(subnet.vpc_id == vpc_id for subnet in subnets)
        cidr = next(islice(IPv4Network("10.0.0.0/16").subnets(new_prefix=28), taken, None))
        with patch("moto.ec2.models.subnets.random_subnet_id", return_value=subnet_id):
            self.client("ec2").create_subnet(VpcId=vpc_id, CidrBlock=str(cidr))

    def seed_detector(self, detector_id: str) -> None:
        """Make an enabled detector of exactly this id, unless there is one."""
        detectors = self.backend("guardduty").detectors
        if detector_id not in detectors:
            drawn = self.client("guardduty").create_detector(Enable=True)["DetectorId"]
            detectors[detector_id] = detectors.pop(drawn)
            detectors[detector_id].id = detector_id

    def seed_key(self, arn: str, policy: str | None = None) -> None:
        """Make a customer-managed key of exactly this ARN, with the default key policy unless `policy` is given."""
        key_id = arn.partition(":key/")[2]
        if key_id not in self.backend("kms").keys:
            with patch("moto.kms.models.generate_key_id", return_value=key_id):
                self.client("kms").create_key(**({"Policy": policy} if policy else {}))
            self.backend("kms").keys[key_id].arn = arn

    def confirm_subscription(self, arn: str) -> None:
        """Confirm a pending subscription, as its reader does by the link in the mail."""
        self.backend("sns").subscriptions[arn].attributes["PendingConfirmation"] = False
