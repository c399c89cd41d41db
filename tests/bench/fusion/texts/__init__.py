"""What texts foretell, and what they must not spoil."""
