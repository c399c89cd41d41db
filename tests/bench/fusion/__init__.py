"""`make bench-fusion`: is what a fit says right, and does it say it again? The tables of docs/measurements/fusion.md."""
