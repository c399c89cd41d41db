"""Commands of the room `practice`."""
