"""What could not be delivered, sent again."""
