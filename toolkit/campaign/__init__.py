"""Campaigns: what to ask, whom, and what they answered; people and models alike."""
