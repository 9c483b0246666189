"""What is on disk, and how it gets there: canonical bytes, sealed folders, and where a number was made."""
