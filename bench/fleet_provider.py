"""Serves the stand-in for the AWS provider to any number of engines, in a process of its own.

    python bench/fleet_provider.py SUBNET...

Prints its port, and for each line it reads the CPU seconds it has taken so far; ends with its input.
"""
# ruff: noqa: N802 - the RPCs have their names from the protocol

import sys
import time

import grpc
from engine.provider import EmulatedProvider, serving
from examples import ACCOUNT, REGION
from pulumi.runtime.proto import provider_pb2 as rpc

from threatmon.emulator.account import EmulatedAccount


class _ProviderOfAnyAccount(EmulatedProvider):
    """Stands for the account of every stack: previews make nothing, and hundreds of emulated accounts are heavy."""

    def CheckConfig(self, request: rpc.CheckRequest, context: grpc.ServicerContext) -> rpc.CheckResponse:
        """Refuse no account."""
        del context
        return rpc.CheckResponse(inputs=request.news)

    def Configure(self, request: rpc.ConfigureRequest, context: grpc.ServicerContext) -> rpc.ConfigureResponse:
        """Refuse no account."""
        request.args.fields.pop("allowedAccountIds", None)
        return super().Configure(request, context)


def _main(subnets: list[str]) -> None:
    with EmulatedAccount(ACCOUNT, REGION) as account:
        for subnet in subnets:
            account.seed_subnet(subnet)
        with serving(_ProviderOfAnyAccount(account)) as (_, port):
            print(port, flush=True)
            for _ in sys.stdin:
                print(time.process_time(), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
