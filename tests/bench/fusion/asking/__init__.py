"""Which question to ask next: replays of orders on simulated and real votes."""
