"""`python -m recipes` is the `recipes` command."""

import sys

from recipes.cli import main

sys.exit(main())
