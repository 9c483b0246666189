"""MedLiteNet, its blocks and variants, and every other model that a study can name."""
