"""What a person still has to do after a deployment."""

from collections.abc import Sequence


def next_steps(topic_arn: str, region: str, emails: Sequence[str]) -> list[str]:
    """The steps, in order.

    SNS deletes an unconfirmed subscription after two days, and every mail holds a link that unsubscribes whoever
    follows it: https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html
    """
    return [
        f'Confirm the subscription: each of {", ".join(emails)} has a mail "AWS Notification - Subscription'
        ' Confirmation". Until it is confirmed no alert arrives, and after 48 hours the invitation is void'
        " (`pulumi up --refresh` sends a new one).",
        "Do not click its link where a mail scanner opens links, because the scanner can unsubscribe you the same way."
        " Copy the Token from the link instead and run: aws sns confirm-subscription --authenticate-on-unsubscribe true"
        f" --region {region} --topic-arn {topic_arn} --token <Token>",
    ]
