"""Sending again what could not be delivered: messages of the dead-letter queue, and failed executions."""
