"""Run the sandbox: `python -m kaspi_delivery_django.sandbox`."""

import sys

from kaspi_delivery_django.sandbox.cli import main

sys.exit(main())
