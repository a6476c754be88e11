"""What gunicorn serves: the app of one worker, made after the fork."""

import logging
import sys

from common.errors import CanarioError
from service.app import create_app
from service.boot import kept_settings

APP_LOAD_ERROR = 4  # gunicorn's exit code for it; see service.boot

try:
    app = create_app(kept_settings())
except CanarioError as error:
    logging.getLogger(__name__).critical("the service cannot start: %s", error)
    sys.exit(APP_LOAD_ERROR)
