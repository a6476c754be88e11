"""What gunicorn serves: the app of the one worker, made after the fork."""

import logging
import sys

from board.app import create_app
from common.errors import CanarioError

APP_LOAD_ERROR = 4  # the exit code at which gunicorn's master gives up instead of forking again

try:
    app = create_app()
except CanarioError as error:
    logging.getLogger(__name__).critical("the board cannot start: %s", error)
    sys.exit(APP_LOAD_ERROR)
