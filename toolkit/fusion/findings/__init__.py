"""What a posterior says: qualities, preferences of pairs, checks, oddities of the data."""
