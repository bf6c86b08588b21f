"""Runs one Pulumi program under Pulumi's official mocks, and knows neither: the common part of the bench.

    python bench/mocked.py PROGRAM SUBNETS [--list]

With ``--list`` the registrations are printed as JSON, one a line: type, names of the inputs, number of dependencies.
"""

import asyncio
import json
import runpy
import sys
from typing import Any

import pulumi
from pulumi.runtime import set_all_config
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks

_ANSWERS = {
    "getCallerIdentity": {"accountId": "111122223333"},
    "getRegion": {"region": "eu-west-1"},
    "getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com"},
}


class _Mocks(Mocks):
    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        return _ANSWERS[args.token.split(":")[-1]], []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        arn = f"arn:aws:mock:eu-west-1:111122223333:{args.name}"
        return f"{args.name}-id", {"arn": arn, "name": args.name, "url": f"https://{args.name}", **args.inputs}


class _ListingMonitor(MockMonitor):
    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        if request.custom:
            row = [request.type, sorted(request.object.fields), len(request.dependencies)]
            sys.stdout.write(json.dumps(row) + "\n")
        return super().RegisterResource(request)


def _main(program: str, subnets: str, *options: str) -> None:
    config = {
        "threat-monitor:subnetIds": json.dumps([f"subnet-{number:017x}" for number in range(int(subnets))]),
        "threat-monitor:alertEmails": '["security@example.com"]',
        "threat-monitor:findingTypes": '["Recon:EC2/Portscan"]',
    }
    mocks = _Mocks()
    asyncio.set_event_loop(asyncio.new_event_loop())
    set_all_config(config)
    monitor = _ListingMonitor(mocks) if "--list" in options else None
    set_mocks(mocks, project="threat-monitor", stack="dev", preview=False, monitor=monitor)

    @pulumi.runtime.test  # waits for every registration
    def drained() -> None:
        runpy.run_path(program, run_name="__main__")

    drained()


if __name__ == "__main__":
    _main(*sys.argv[1:])
