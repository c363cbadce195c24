"""Small helpers, under the names that they have in daffi 3.0.1."""
