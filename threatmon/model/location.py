"""Where a stack is deployed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """Names the account, Region and partition that every ARN and service principal is made of."""

    id: str
    region: str
    partition: str
    dns_suffix: str

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and Region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.id}:{resource}"

    @property
    def root(self) -> str:
        """The account itself as a principal."""
        return f"arn:{self.partition}:iam::{self.id}:root"
