"""What a study file may say, how it is read, and its expansion into trials."""
