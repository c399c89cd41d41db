"""Commands that read or write the store."""
