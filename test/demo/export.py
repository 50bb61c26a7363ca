"""Prints a CRM's contact export: CSV as such systems write it, with all that makes it awkward to load.

    export.py [contacts [accounts]]

The same arguments print the same file. Every field is quoted, what is unknown is empty, statuses are labels, some
contacts have no email, some have their whole name as "Last, First" in one field, and names hold accents, commas and
doubled quotes.
"""
import csv
import random
import sys
import unicodedata
from datetime import datetime, timedelta

HEADER = [
    "Record ID", "First Name", "Last Name", "Email", "Account", "City", "Phone Number", "Lifecycle Stage", "Create Date",
    "Unsubscribed from all email", "Email hard bounce reason", "Marketing contact status",
    "Marketing contact until next update",
]

FIRST = """
    Ada Åse Bjørn Camille Chloé Dávid Ewa Fatma François Gül Hélène Ingrid Jürgen João Kari Lars Léa Łukasz María Nils
    Ólafur Pål Renée Søren Tomáš Ümit Vilde William Zoë
""".split() + ['Robert "Bob"', 'Elizabeth "Liz"', "Jean-Luc", "Anne Marie"]

LAST = """
    Andersen Björnsdóttir Çelik Dubois García Hansen Horváth Jensen Johansen Kowalska Lefèvre Łuczak Müller Nguyen Núñez
    O'Brien Olsen Øverland Peña Schröder Silva Smith Sørensen Strand Tanaka Ylönen Žižka
""".split() + ["van der Berg", 'Smith "Jr."', "de la Cruz"]

CITIES = ["Oslo", "Tromsø", "Bergen", "São Paulo", "Zürich", "Kraków", "Łódź", "Reykjavík", "L'Aquila", "New York",
          "Washington, D.C.", "Tokyo", "Málaga", ""]
STAGES = ["Subscriber", "Lead", "Marketing Qualified Lead", "Sales Qualified Lead", "Opportunity", "Customer", "Evangelist"]
BOUNCES = ["Unknown user", "Mailbox full", "Spam policy", "DNS failure"]
FIRST_DAY = datetime(2019, 1, 7, 8, 0)
MINUTES = 3_780_000  # until spring 2026


def ascii_letters(name):
    plain = name.lower().translate(str.maketrans({"ø": "o", "ł": "l", "ı": "i"}))
    plain = unicodedata.normalize("NFD", plain)
    return "".join(c for c in plain if c.isascii() and c.isalpha())


def contact(number, account, chance):
    first, last = chance.choice(FIRST), chance.choice(LAST)
    email = f"{ascii_letters(first)}.{ascii_letters(last)}{number}@example.com" if chance.random() < 0.94 else ""
    created = FIRST_DAY + timedelta(minutes=chance.randrange(MINUTES))
    marketing = chance.random() < 0.35
    if chance.random() < 0.05:
        first, last = "", f"{last}, {first}"
    return [
        number, first, last, email, account, chance.choice(CITIES), f"+47 {chance.randrange(10**8):08}",
        chance.choice(STAGES), created.strftime("%Y-%m-%d %H:%M"),
        "true" if chance.random() < 0.07 else "false",
        chance.choice(BOUNCES) if email and chance.random() < 0.03 else "",
        "Marketing contact" if marketing else "Non-marketing contact",
        "true" if marketing and chance.random() < 0.04 else "false",
    ]


def main(contacts=200_000, accounts=40):
    sys.stdout.reconfigure(encoding="utf-8")
    chance = random.Random(20260317)
    names = range(1001, 1001 + accounts)
    weights = [1 / (1 + n / 8) for n in range(accounts)]  # a few big ones, many small ones
    out = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    out.writerow(HEADER)
    for number, account in enumerate(chance.choices(names, weights, k=contacts), start=1):
        out.writerow(contact(number, account, chance))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
