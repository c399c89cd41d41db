"""Readers of prompts, completions, votes, ratings, rankings and chats."""
