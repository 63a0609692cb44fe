"""A Wagtail site as its tutorial sets one up, for test_wagtail.py; its files are in the folder WAGTAIL_SITE."""
