"""The studies that ship, as YAML files; `schema` says what a study is."""
