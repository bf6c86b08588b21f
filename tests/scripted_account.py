"""An emulated account that a test lets answer as it likes."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from threatmon.aws.reader import Aws, iam_action
from threatmon.emulator.account import EmulatedAccount

Answering = Callable[[dict[str, Any]], dict[str, Any] | None]


class ScriptedAccount:
    """What the code under test (every :class:`Aws`) asks of an open account, and what is answered in moto's place.

    Actions are named as IAM names them (``ec2:DescribeSubnets``). What a test does with ``account.client`` is neither
    recorded nor refused. A script holds for the rest of the test, or, under ``with``, to the end of the block.
    """

    def __init__(self, account: EmulatedAccount) -> None:
        self.account = account
        self.session = account.boto3_session()
        self.aws = Aws(self.session)
        self.calls: list[str] = []
        """the actions asked for, in order, one for each page"""
        self._scripts: dict[str, Answering] = {}
        events: Any = self.session.events  # its types know no handler that answers
        events.register("before-call.*.*", self._answered)  # with wildcards it is asked before the emulator

    def forget(self) -> None:
        """Start over: no call was made, and nothing is scripted."""
        self.calls.clear()
        self._scripts.clear()

    def refuse(self, action: str, code: str = "AccessDenied", message: str = "no") -> ExitStack:
        """Has AWS refuse an action."""

        def refused(_: dict[str, Any]) -> None:
            raise ClientError({"Error": {"Code": code, "Message": message}}, action.partition(":")[2])

        return self.answer(action, refused)

    def answer(self, action: str, answering: Answering | dict[str, Any]) -> ExitStack:
        """Has AWS answer so, in the form of botocore's model; a function is given the parameters, and leaves to moto
        what it answers by None."""
        before = dict(self._scripts)
        self._scripts[action] = answering if callable(answering) else lambda _: dict(answering)
        undo = ExitStack()
        undo.callback(lambda: setattr(self, "_scripts", before))
        return undo

    def _answered(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        if context["client_config"].user_agent_extra != "threatmon":
            return None
        action = iam_action(model)
        self.calls.append(action)
        answer = self._scripts[action](context["asked"]) if action in self._scripts else None
        if answer is None:
            return None
        if model.output_shape:
            report = ParamValidator().validate(answer, model.output_shape)
            assert not report.has_errors(), report.generate_report()
        return AWSResponse("", 200, HTTPHeaders(), None), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}
