"""Sending the messages of the dead-letter queue again."""
