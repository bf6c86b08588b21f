"""The client that all commands use to call AWS: cached answers, all pages of a list, errors as values."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.model import OperationModel

from threatmon.aws.errors import MAX_ATTEMPTS, AwsError, translated

Answer = Mapping[str, Any]

# Throttled calls are tried again, ever more slowly: https://docs.aws.amazon.com/boto3/latest/guide/retries.html
_CONFIG = Config(retries={"mode": "adaptive", "max_attempts": MAX_ATTEMPTS}, user_agent_extra="threatmon")
# Services whose name in IAM is not that of their endpoint.
_ACTION_PREFIXES = {"monitoring": "cloudwatch"}

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")


class Aws:
    """Call AWS in one account and Region, from any number of threads.

    Services and operations have boto3's names (``"ec2", "describe_subnets"``). Answers are shared: callers must not
    change them. Every method raises :class:`AwsError`.
    """

    def __init__(self, session: boto3.Session, config: Config | None = None) -> None:
        self.region = str(session.region_name)
        self.partition = str(session.get_partition_for_region(self.region))
        self._session = session
        self._config = _CONFIG.merge(config or Config())
        self._clients: dict[str, Any] = {}
        self._answers: dict[str, Future[Any]] = {}
        # Clients may be shared by threads, sessions may not:
        # https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
        self._making_clients = Lock()
        self._asking = Lock()

    @property
    def account_id(self) -> str:
        """The account of the credentials, asked for once."""
        return str(self.read("sts", "get_caller_identity")["Account"])

    def read(self, service: str, operation: str, **parameters: Any) -> Answer:
        """Return the answer of a call, cached; a failure is cached too."""
        return self._once(["one", service, operation, parameters], lambda: self.call(service, operation, **parameters))

    def read_all(self, service: str, operation: str, **parameters: Any) -> list[Any]:
        """Return the entries of all pages as :meth:`call_all` does, cached."""
        question = ["all", service, operation, parameters]
        return list(self._once(question, lambda: self.call_all(service, operation, **parameters)))

    def call(self, service: str, operation: str, **parameters: Any) -> Answer:
        """Make a call without the cache: for writes, polls and queues."""
        client = self._client(service)
        with translated(_action(client, operation)):
            return getattr(client, operation)(**parameters)

    def call_all(self, service: str, operation: str, **parameters: Any) -> list[Any]:
        """Return the entries of all pages, without the cache.

        Of several lists, return the paginator's first result key (DescribeAlarms: MetricAlarms). An operation
        without a paginator raises botocore's ``OperationNotPageableError``.
        """
        client = self._client(service)
        pages = client.get_paginator(operation).paginate(**parameters)
        with translated(_action(client, operation)):
            return [entry for page in pages for entry in pages.result_keys[0].search(page) or ()]

    def _client(self, service: str) -> Any:
        with self._making_clients, translated(service):
            if service not in self._clients:
                make: Any = self._session.client
                self._clients[service] = make(service, config=self._config)
            return self._clients[service]

    def _once(self, question: list[Any], ask: Callable[[], _Result]) -> _Result:
        key = json.dumps(question, sort_keys=True, default=str)
        with self._asking:
            first = key not in self._answers
            future = self._answers.setdefault(key, Future())
        if first:
            try:
                future.set_result(ask())
            except BaseException as error:  # noqa: BLE001 - also Ctrl-C, or other threads would wait for ever
                future.set_exception(error)
        return future.result()


def attempt(question: Callable[[], _Result], kind: type[AwsError] = AwsError) -> _Result | AwsError:
    """Return the answer of a question, or its error if it is of the given kind."""
    try:
        return question()
    except kind as error:
        return error


def side_by_side(questions: Mapping[_Key, Callable[[], _Result]], threads: int = 8) -> dict[_Key, _Result]:
    """Ask several questions at once; return the results by the questions' keys.

    Raises the first error and drops the rest; wrap a question in :func:`attempt` to have its error as its result.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        futures = {key: pool.submit(question) for key, question in questions.items()}
        return {key: future.result() for key, future in futures.items()}
    finally:
        pool.shutdown(cancel_futures=True)


def batches(values: Sequence[str], size: int) -> Iterator[list[str]]:
    """Yield the values in lists of at most ``size``, for calls that take no more."""
    return (list(values[start : start + size]) for start in range(0, len(values), size))


def iam_action(operation: OperationModel) -> str:
    """Return the IAM action that a call needs (``cloudwatch:GetMetricData``)."""
    prefix = str(operation.service_model.signing_name)
    name = operation.name.removesuffix("Batch") if prefix == "sqs" else operation.name  # IAM has no batch actions
    return f"{_ACTION_PREFIXES.get(prefix, prefix)}:{name}"


def _action(client: Any, operation: str) -> str:
    return iam_action(client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]))
