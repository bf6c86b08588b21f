"""The steps that a person has to take after a deployment (the output ``nextSteps``)."""

from collections.abc import Sequence


def next_steps(topic_arn: str, region: str, emails: Sequence[str], health_emails: Sequence[str] = ()) -> list[str]:
    """Return the steps, in order. ``emails`` get the alerts, ``health_emails`` the alarms on the alert path.

    SNS deletes an unconfirmed subscription after two days, and every mail holds a link by which anybody who
    opens it unsubscribes the address: https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html
    """
    alarms = f", and one for the alarms on the alert path to {', '.join(health_emails)}" if health_emails else ""
    return [
        'Confirm the subscription: a mail "AWS Notification - Subscription Confirmation" for the alerts went to'
        f" {', '.join(emails)}{alarms}. Until it is confirmed nothing arrives, and after 48 hours it is void"
        " (`pulumi up --refresh` sends a new one).",
        "Do not click its link where a mail scanner opens links, because the scanner can unsubscribe you the same way."
        " Copy the Token from the link instead and run: aws sns confirm-subscription --authenticate-on-unsubscribe true"
        f" --region {region} --topic-arn {topic_arn} --token <Token>",
    ]
