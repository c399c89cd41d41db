"""What learners have mastered: skills, answer by answer."""
