"""What a fit would say without some of its signals, from its stored draws."""
