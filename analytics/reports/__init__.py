"""The read side: one module a subject, one function a question."""
