"""The account of a stack, with the credentials that its stack file names."""

from boto3 import Session

from threatmon.aws import session as sessions
from threatmon.aws.reader import Aws
from threatmon.stacks.files import StackFile, file_name


def connect(stack: StackFile, session: Session | None = None) -> Aws:
    """Return the account and Region of a stack, reached by its profile and roles, or by ``session``.

    Raises :class:`UsageError` if there is no Region, a profile or role is malformed, or the stack may not touch the
    account of the credentials; :class:`threatmon.aws.errors.AwsError` if AWS refuses them.
    """
    profile = stack.config.get("aws:profile")
    return sessions.connect(
        profile=str(profile) if profile else None,
        region=stack.region,
        roles=stack.list_of("aws:assumeRoles"),
        allowed_accounts=stack.account_ids,
        source=file_name(stack.name),
        session=session,
    )
