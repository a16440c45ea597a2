"""A materialisation from PostgreSQL to PostgreSQL, without a look at the values."""
