"""Any job API that answers with JSON, described in the configuration."""
