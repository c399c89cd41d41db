"""Readers of chats, and of preferences about them, in the shapes of many programs."""
