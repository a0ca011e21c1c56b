"""What the commands do: one file a subject, loaded when its command is given."""
