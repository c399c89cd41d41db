"""Practice: exercises, what learners have mastered, what to do next, and studies."""
