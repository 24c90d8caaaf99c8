"""The learner process: receive episodes, keep them, update the networks, publish the agents' parameters."""
