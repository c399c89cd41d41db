"""The packaged sample and the demo that runs the main job on it."""
