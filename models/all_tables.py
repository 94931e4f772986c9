"""Imports every table module: the metadata is whole for whoever opens a session or migrates."""

from models.alerts import tables as alerts_tables
from models.imaging import tables as imaging_tables
from models.instruments import catalogue_tables
from models.instruments import tables as instruments_tables
from models.kernel import idempotency
from models.kernel import tables as kernel_tables
from models.people import tables as people_tables
from models.upkeep import failure_tables
from models.upkeep import tables as upkeep_tables
from models.vitals import tables as vitals_tables

AREAS = (
    *(kernel_tables, idempotency, people_tables, instruments_tables, catalogue_tables, upkeep_tables),
    *(failure_tables, vitals_tables, alerts_tables, imaging_tables),
)
