"""What `docker compose` needs beside docker-compose.yml. Nothing imports it; it imports nothing of ours."""
