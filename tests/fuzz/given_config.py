"""A config file that returns what the fuzz gives it."""

from tests.fuzz import valid_configs


def get_config(variant=''):
    return valid_configs.GIVEN['config']


def get_report(variant=''):
    return valid_configs.GIVEN['report']
