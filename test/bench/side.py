"""The sides of a comparison: one contacts table each, all alike but for who keeps statuses and counts."""
import os
from dataclasses import dataclass

import server

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "variant")


@dataclass(frozen=True)
class Side:
    label: str
    schema: str
    parts: tuple  # files of variant/ that are run after the table exists

    @property
    def table(self):
        return self.schema + ".contact"

    def create(self, database, fill=None, settings=""):
        """Creates the table and runs "fill" once it has all columns, before a rival begins to count."""
        for part in ("contact", *self.parts):
            server.run_file(database, os.path.join(FOLDER, part + ".sql"), settings, schema=self.schema)
            if fill and part in ("columns", "attached"):
                server.query(database, fill, settings)


BARE = Side("bare table", "bare", ("columns",))
ATTACHED = Side("mktcontacts", "attached", ("attached", "without_history"))
HISTORIC = Side("mktcontacts with history", "historic", ("attached",))
UNATTACHED = Side("not attached", ATTACHED.schema, ())
EMPTY = Side("triggers that do nothing", "empty", ("columns", "empty"))
DELTA = Side("plpgsql, statement triggers", "plpgsql_delta", ("columns", "plpgsql", "plpgsql_delta"))
COUNTER = Side("plpgsql, counter row", "plpgsql_counter", ("columns", "plpgsql", "plpgsql_counter"))
IMMV = Side("pg_ivm", "immv", ("columns", "immv"))


def contact_rows(rows, accounts, extra=""):
    """A query of deterministic contacts, spread over the accounts; "extra" adds columns that may use i."""
    return f"""
        SELECT i % {accounts} + 1 AS account_id,
               CASE WHEN i % 10 <> 0 THEN 'contact.' || i || '@example.org' END AS email,
               (ARRAY['Åse', 'Bjørn', 'Chloé', 'Dmitri', 'Eleni', 'Farah', 'Günther'])[1 + i % 7] AS first_name,
               'Contact ' || i AS last_name,
               '+47 ' || 40000000 + i AS phone,
               'Company ' || i % 5000 || ' AS' AS company,
               (ARRAY['Oslo', 'Bergen', 'Lyon', 'Graz', 'Patras'])[1 + i % 5] AS city,
               (ARRAY['NO', 'NO', 'FR', 'AT', 'GR'])[1 + i % 5] AS country,
               (ARRAY['subscriber', 'lead', 'opportunity', 'customer'])[1 + i % 4] AS lifecycle_stage,
               timestamptz '2024-01-01 00:00+00' + i * interval '1 minute' AS created_at,
               CASE WHEN i % 20 = 0 THEN timestamptz '2025-01-01 00:00+00' + i * interval '1 minute' END
                   AS unsubscribed_at
               {extra}
        FROM generate_series(0, {rows} - 1) AS i"""


CONTACT_COLUMNS = ("account_id, email, first_name, last_name, phone, company, city, country, lifecycle_stage, "
                   "created_at, unsubscribed_at")
