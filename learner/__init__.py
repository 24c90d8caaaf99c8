"""The learner process: receive episodes, keep them, update, publish."""
