"""Commands that ask, train, judge and publish models."""
