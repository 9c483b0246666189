"""The studies: YAML files, the schema that they obey, and their expansion into trials."""
