"""The recipes that come with the tool, as TOML files, and the name of the documented one."""

DEFAULT = "mobilefacenet"
