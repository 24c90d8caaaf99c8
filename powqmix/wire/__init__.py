"""Episodes from actors to the learner: messages, their checks, and delivery that loses and doubles nothing."""
