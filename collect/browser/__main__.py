import sys

from collect.browser.launch import install
from params import UserError

try:
    print(f"Browser: {install()}")
except UserError as error:
    sys.exit(f"Error: {error.message}")
