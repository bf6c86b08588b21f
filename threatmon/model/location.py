"""Where a stack is deployed: account, Region and partition."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """The account (``id``), Region and partition, of which every ARN and service principal is made."""

    id: str
    region: str
    partition: str
    dns_suffix: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and Region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.id}:{resource}"

    @property
    def root(self) -> str:
        """Return the account itself as a principal."""
        return f"arn:{self.partition}:iam::{self.id}:root"
