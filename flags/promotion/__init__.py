"""A challenger becomes the champion, instance by instance."""
