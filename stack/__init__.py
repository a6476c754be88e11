"""The whole product on one bare Debian machine, without Docker: `./canario up`.

`bootstrap` (standard library only) makes the venv; everything else runs inside it. `api.Stack` is the door
for tests, drills and scripts, `cli` the one for people. No part of the product imports this package.
"""
