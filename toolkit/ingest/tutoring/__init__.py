"""Readers of dialogues and of judged replies of tutors."""
