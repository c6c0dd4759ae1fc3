"""A study: one TOML file in, every result out."""
