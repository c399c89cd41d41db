"""People: pseudonyms, forgetting, and the search for personal data."""
