"""Models asked for completions and judgements: requests, back-ends, limits, templates."""
