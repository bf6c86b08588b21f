"""Runs any Pulumi program under Pulumi's official mocks: the common part of the benchmarks.

    python bench/mocked.py PROGRAM SUBNETS [--record]

With ``--record`` what the program asks for is printed as JSON, one call a line.
"""

import asyncio
import json
import runpy
import sys
from typing import Any

import pulumi
from google.protobuf.json_format import MessageToDict
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
        outputs = {"arn": arn, "keyId": args.name, "name": args.name, "url": f"https://{args.name}"}
        return f"{args.name}-id", outputs | args.inputs


class _PrintingMonitor(MockMonitor):
    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        _record(invoke=request.tok)
        return super().Invoke(request)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - as above
        response: Any = super().RegisterResource(request)
        if request.custom:
            properties = request.propertyDependencies.items()
            _record(
                type=request.type,
                name=request.name,
                urn=response.urn,
                inputs=MessageToDict(request.object),
                dependencies=sorted(request.dependencies),
                by_property={name: sorted(found.urns) for name, found in properties if found.urns},
            )
        return response


def _record(**facts: Any) -> None:
    sys.stdout.write(f"{json.dumps(facts)}\n")


def _main(program: str, subnets: str, *options: str) -> None:
    config = {
        "threat-monitor:subnetIds": json.dumps([f"subnet-{number:017x}" for number in range(int(subnets))]),
        "threat-monitor:alertEmails": '["security@example.com"]',
        "threat-monitor:findingTypes": '["Recon:EC2/Portscan"]',
    }
    mocks = _Mocks()
    asyncio.set_event_loop(asyncio.new_event_loop())
    set_all_config(config)
    monitor = _PrintingMonitor(mocks) if "--record" in options else None
    set_mocks(mocks, project="threat-monitor", stack="dev", preview=False, monitor=monitor)

    @pulumi.runtime.test  # waits for every registration
    def drained() -> None:
        runpy.run_path(program, run_name="__main__")

    drained()


if __name__ == "__main__":
    _main(*sys.argv[1:])
