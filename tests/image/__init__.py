"""The project's own image, built from the Dockerfile, run as docker-compose.yml does: `make image-test`."""
