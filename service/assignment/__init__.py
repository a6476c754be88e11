"""Which model a user gets: the Unleash SDK and its flags."""
