-- Runs once, when PostgreSQL makes its data folder: a role for Unleash that owns its database and nothing else.
\getenv password UNLEASH_PASSWORD
CREATE ROLE unleash LOGIN PASSWORD :'password';
CREATE DATABASE unleash OWNER unleash;
