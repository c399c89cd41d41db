"""Choose pairs by a policy: votes, scores, edits, over-corrections."""
