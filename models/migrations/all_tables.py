"""Imports every table module, so that the metadata is whole."""

from models.instruments import catalogue_tables, tables as instruments_tables
from models.kernel import idempotency, tables as kernel_tables
from models.people import tables as people_tables

AREAS = (kernel_tables, idempotency, people_tables, instruments_tables, catalogue_tables)
