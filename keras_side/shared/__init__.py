"""What the readers and writers of several layers have in common."""
