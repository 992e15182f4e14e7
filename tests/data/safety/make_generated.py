"""Writes the generated half of the corpus: valid numbers by their own rules, in sentences people write.

`python tests/data/safety/make_generated.py` writes `positive_generated.jsonl` and `negative_generated.jsonl` beside
itself, always the same. Check digits are computed here, not by the code under test. A value that somebody's
scanner would take for a live secret is broken by `‖`, which whoever loads the corpus takes out.
"""

from __future__ import annotations

import json
import string
import uuid
from collections.abc import Callable, Iterator
from hashlib import sha1, sha256
from pathlib import Path
from random import Random
from typing import Any

RNG = Random(20_260_117)
HERE = Path(__file__).parent
LETTERS, DIGITS, ALNUM = string.ascii_uppercase, string.digits, string.ascii_letters + string.digits
FIRST = "anna omar li priya jürgen chloe mateo fatima sven aoife kwame yuki".split()
LAST = "schmidt okafor wang patel müller dubois garcia haddad lindqvist byrne mensah tanaka".split()
DOMAINS = "example.com mail.example.org uni-bonn.example bücher.example sub.dept.acme.co.uk startup.io posteo.example x.ai".split()


def digits(count: int, first: str = DIGITS) -> str:
    return RNG.choice(first) + "".join(RNG.choices(DIGITS, k=count - 1))


def letters(count: int, of: str = LETTERS) -> str:
    return "".join(RNG.choices(of, k=count))


def luhn_digit(body: str) -> str:
    total = 0
    for place, char in enumerate(reversed(body)):
        number = int(char) * (2 if place % 2 == 0 else 1)
        total += number - 9 if number > 9 else number
    return str(-total % 10)


def with_luhn(body: str) -> str:
    return body + luhn_digit(body)


def grouped(number: str, sizes: tuple[int, ...], sep: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    return sep.join(parts)


def email() -> str:
    name = RNG.choice(
        [f"{RNG.choice(FIRST)}.{RNG.choice(LAST)}", f"{RNG.choice(FIRST)}{RNG.randrange(99)}", f"{RNG.choice(FIRST)}_{RNG.choice(LAST)}+{RNG.choice(('news', 'octolog', 'x'))}",
         f"{RNG.choice(FIRST)[0]}-{RNG.choice(LAST)}", f"{RNG.choice(FIRST).upper()}.{RNG.choice(LAST).title()}", f"o'{RNG.choice(LAST)}"]
    )  # fmt: skip
    return f"{name}@{RNG.choice(DOMAINS)}"


def ssn() -> str:
    area = RNG.choice([n for n in range(1, 899) if n != 666])
    return f"{area:03d}-{RNG.randrange(1, 100):02d}-{RNG.randrange(1, 10_000):04d}"


def card() -> str:
    sep = RNG.choice(("", " ", "-"))
    brand = RNG.choice(("visa", "mastercard", "mastercard2", "amex", "discover", "jcb", "diners"))
    if brand == "amex":
        return grouped(with_luhn(RNG.choice(("34", "37")) + digits(12)), (4, 6, 5), sep)
    if brand == "diners":
        return grouped(with_luhn(RNG.choice(("300", "36", "38")).ljust(3, "1") + digits(10)), (4, 6, 4), sep)
    lead = {"visa": "4", "mastercard": "53", "mastercard2": "2345", "discover": "6011", "jcb": "3540"}[brand]
    return grouped(with_luhn(lead + digits(15 - len(lead))), (4, 4, 4, 4), sep)


IBAN_FORMS = {"DE": "n18", "GB": "a4n14", "FR": "n10c11n2", "NL": "a4n10", "ES": "n20", "IT": "a1n10c12", "CH": "n5c12", "PL": "n24", "AT": "n16", "SE": "n20", "BE": "n12", "NO": "n11", "DK": "n14", "PT": "n21", "IE": "a4n14", "FI": "n14"}  # fmt: skip


def iban() -> str:
    country = RNG.choice(list(IBAN_FORMS))
    form, body = IBAN_FORMS[country], ""
    while form:
        kind = form[0]
        size = "".join(char for char in form[1:4] if char.isdigit())[
            : 2 if len(form) > 2 and form[2:3].isdigit() else 1
        ]
        body += (
            digits(int(size))
            if kind == "n"
            else letters(int(size), LETTERS if kind == "a" else LETTERS + DIGITS)
        )
        form = form[1 + len(size) :]
    number = int("".join(str(int(char, 36)) for char in f"{body}{country}00"))
    whole = f"{country}{98 - number % 97:02d}{body}"
    return whole if RNG.random() < 0.5 else " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def phone() -> str:
    area, exchange, line = (
        RNG.choice(("202", "212", "312", "415", "617", "713")),
        digits(3, "23456789"),
        digits(4),
    )
    if exchange[1:] == "11":
        exchange = "555"
    return RNG.choice(
        [f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}", f"+1 {area} {exchange} {line}", f"+1-{area}-{exchange}-{line}", f"{area}.{exchange}.{line}",
         f"+44 20 7{digits(3)} {digits(4)}", f"+49 30 {digits(8, '2345679')}", f"+33 6 {digits(2)} {digits(2)} {digits(2)} {digits(2)}", f"+4915{digits(1, '1')}{digits(8)}",
         f"+91 98{digits(3)} {digits(5)}", f"+61 4{digits(2, '0123')} {digits(3)} {digits(3)}", f"07{digits(3, '7')} {digits(6)}", f"06 {digits(2)} {digits(2)} {digits(2)} {digits(2)}"]
    )  # fmt: skip


def ipv4() -> str:
    return f"{RNG.choice((10, 172, 192, 203, 8, 81, 198))}.{RNG.randrange(256)}.{RNG.randrange(256)}.{RNG.randrange(1, 255)}"


def ipv6() -> str:
    if RNG.random() < 0.5:
        return ":".join(["2001", "db8"] + [f"{RNG.randrange(1, 65536):x}" for _ in range(6)])
    return f"2a0{RNG.randrange(1, 9)}:{RNG.randrange(256, 4096):x}::{RNG.randrange(1, 65536):x}"


def mac() -> str:
    return ":".join(f"{RNG.randrange(256):02x}" for _ in range(6))


def codice() -> str:
    odd = dict(zip(DIGITS + LETTERS, [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23], strict=True))  # fmt: skip
    body = f"{letters(6, 'BCDFGLMNRST')}{RNG.randrange(40, 99)}{RNG.choice('ABCDEHLMPRST')}{RNG.randrange(1, 29):02d}H501"
    total = sum(
        odd[char]
        if place % 2 == 0
        else int(char, 36) % (10 if char.isdigit() else 36) - (0 if char.isdigit() else 10)
        for place, char in enumerate(body)
    )
    return body + LETTERS[total % 26]


def dni() -> str:
    number = RNG.randrange(10_000_000, 99_999_999)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def cpf() -> str:
    body = digits(9)
    for _ in range(2):
        total = sum(
            int(char) * weight for char, weight in zip(body, range(len(body) + 1, 1, -1), strict=True)
        )
        body += str((total * 10 % 11) % 10)
    return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"


def nino() -> str:
    return f"{RNG.choice(('AB', 'CE', 'JR', 'PW', 'ZX'))} {digits(2)} {digits(2)} {digits(2)} {RNG.choice('ABCD')}"


def personnummer() -> str:
    born = f"{RNG.randrange(30, 99)}{RNG.randrange(1, 13):02d}{RNG.randrange(1, 29):02d}"
    body = born + digits(3)
    return f"{born}-{body[6:]}{luhn_digit(body)}"


def national() -> str:
    return RNG.choice((codice, dni, cpf, nino, personnummer))()


def birthday() -> str:
    year, month, day = RNG.randrange(1940, 2008), RNG.randrange(1, 13), RNG.randrange(1, 29)
    name = "January February March April May June July August September October November December".split()[
        month - 1
    ]
    return RNG.choice(
        [
            f"{year}-{month:02d}-{day:02d}",
            f"{day:02d}/{month:02d}/{year}",
            f"{day}.{month}.{year}",
            f"{name} {day}, {year}",
            f"{day} {name[:3]} {year}",
        ]
    )


def passport() -> str:
    return RNG.choice(
        (f"C{digits(1)}{letters(1, 'FGHJK')}{digits(6)}"[:9], digits(9), f"{letters(2)}{digits(7)}")
    )


def plate() -> str:
    return f"{letters(1)}{digits(3)}-{digits(4)}-{digits(4)}"


def nhs() -> str:
    while True:
        body = digits(9)
        check = 11 - sum(int(char) * (10 - place) for place, char in enumerate(body)) % 11
        if check != 10:
            return grouped(f"{body}{check % 11}", (3, 3, 4), " ")


def rtn() -> str:
    body = f"0{RNG.randrange(1, 10)}{digits(6)}"
    total = sum(int(char) * weight for char, weight in zip(body, (3, 7, 1, 3, 7, 1, 3, 7), strict=True))
    return f"{body}{-total % 10}"


def imei() -> str:
    return with_luhn("35" + digits(12))


def vin() -> str:
    return f"WVW{letters(3, 'ABCDEFGHJKLMNPRSTUVWXYZ')}{digits(2)}{letters(1, 'ABCDEFGHJKLMNPR')}{letters(1, 'ABCDEFGH')}{digits(7)}"


def ether() -> str:
    return "0x" + "".join(RNG.choices("0123456789abcdefABCDEF", k=40))


def token(lead: str, size: int, of: str = ALNUM) -> Callable[[], str]:
    def made() -> str:
        body = "".join(RNG.choices(of, k=size - 2)) + RNG.choice(DIGITS) + RNG.choice(string.ascii_letters)
        return f"{lead}‖{body}"

    return made


def aws() -> str:
    return f"AKIA‖{letters(16, LETTERS + '234567')}"


def jwt() -> str:
    return f"eyJ‖hbGciOiJIUzI1NiJ9.eyJzdWIiOi{letters(24, ALNUM)}.{letters(43, ALNUM + '-_')[:-1]}x"


def pem() -> str:
    kind = RNG.choice(("RSA ", "EC ", "", "OPENSSH "))
    body = "\n".join(letters(64, ALNUM + "+/") for _ in range(3))
    return f"-----BEGIN‖ {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


def password() -> str:
    return RNG.choice(
        ("Tr0ub4dor&3", "S0mmer!2024", "hunter2!x", "pa55-w0rd_99", "zK7#mQ2$", "correct4horse8battery")
    ) + letters(2, ALNUM)


def secret() -> str:
    return letters(30, ALNUM) + RNG.choice(DIGITS) + RNG.choice("abc")


SENTENCES: dict[str, tuple[Callable[[], str], int, tuple[str, ...]]] = {
    "email": (email, 34, ("Write to {} before Friday.", "Contact: {}", "<{}> said on Monday that it works", "mailto:{}?subject=hi", "cc {}, please", "user={};role=admin", '{{"from": "{}"}}', "{} asked for a refund", "Forward the report to ({}).", "From: Anna <{}>\nTo: the list")),
    "ssn": (ssn, 26, ("My SSN is {}.", "SSN: {}", "applicant {} was approved", "the number {} stands on the form", "ssn={}&year=2024", "({})", "employee 17, {}, full time", "\t{}\n")),
    "card": (card, 40, ("Charge {} please", "card {} exp 09/27 cvv 123", "PAN={}", "He paid with {}, then left.", "payment: {}", "my number is {}!", "Refund to {} failed: code 51", "visa ending soon: {} (12/26)")),
    "iban": (iban, 40, ("Transfer to {} today.", "IBAN: {}", "account {} was closed", "please pay into {}, reference 2024-17", "from {} to the landlord", "({})")),
    "phone": (phone, 44, ("Call me on {} tonight.", "Tel. {}", "you reach us under {}", "phone: {}", "{} is her number", "Fax {} or post", "ring {}, ask for Sven", "mobile={}")),
    "ipv4": (ipv4, 22, ("The server {} is down.", "ping {}", "from {}:443 came a reset", "client {} - - [10/Oct/2024]", "allow {}/24", "ssh admin@{}", "X-Forwarded-For: {}, proxy")),
    "ipv6": (ipv6, 14, ("The host {} is down.", "listen on [{}]:443", "client {} asked", "route {}/64 via eth0")),
    "mac": (mac, 10, ("The adapter {} is unknown.", "lease for {} expired", "hwaddr={}")),
    "national_id": (national, 34, ("Il codice o numero: {}.", "id {} on the form", "holder {} (resident)", "{} was registered in 2019", "documento {}, vigente")),
    "date_of_birth": (birthday, 22, ("She was born on {} in Lyon.", "DOB: {}", "date of birth: {}", "birthday {}", "patient, dob {}, male")),
    "passport": (passport, 14, ("Passport {} expires soon.", "passport number: {}", "passport no. {}", "her passport is {}")),
    "driver_license": (plate, 8, ("Driver's license {} was shown.", "driver license number: {}", "driving licence {}")),
    "health_id": (nhs, 8, ("NHS number {}.", "nhs no: {}", "patient number {} was seen")),
    "bank_account": (rtn, 8, ("Routing number {} please", "ABA: {}", "routing number: {}")),
    "device_id": (imei, 6, ("IMEI {} was stolen.", "imei: {}")),
    "vehicle_id": (vin, 6, ("VIN {} is registered.", "vin: {}")),
    "wallet": (ether, 6, ("Send the ether to {}.", "wallet {}")),
    "aws_key": (aws, 8, ("aws_access_key_id = {}", "export AWS_ACCESS_KEY_ID={}", "the key {} leaked")),
    "github_token": (token("ghp_", 36), 8, ("git clone https://{}@host/repo", "GITHUB_TOKEN={}", "use {} for CI")),
    "slack_token": (token("xoxb-", 40, DIGITS + "-" + ALNUM), 6, ("SLACK={}", "bot token {} here")),
    "api_key": (token("sk-", 46), 8, ("OPENAI_API_KEY={}", "curl -H 'X: {}'", "my key is {}")),
    "jwt": (jwt, 8, ("Authorization: Bearer {}", "token={}", "the cookie was {}")),
    "private_key": (pem, 6, ("{}", "key.pem:\n{}\nend of file", "deploy with {} now")),
    "password": (password, 14, ('password = "{}"', "PASSWORD={}", "the password is {}", "db_password: '{}'", "pwd: {}", "postgres://app:{}@db:5432/x")),
    "secret": (secret, 10, ('client_secret = "{}"', "API_KEY={}", "auth_token: {}", "secret: '{}'", "Authorization: Bearer {}")),
}  # fmt: skip


def positives() -> Iterator[dict[str, Any]]:
    for kind, (made, count, sentences) in SENTENCES.items():
        for number in range(count):
            value = made()
            sentence = sentences[number % len(sentences)]
            if "{}@" in sentence and kind == "password":
                value = value.replace("#", "x").replace("$", "y")
            yield {
                "id": f"{kind}-{number:03d}",
                "kind": kind,
                "text": sentence.replace("{{", "{").replace("}}", "}").replace("{}", value, 1)
                if "{{" not in sentence
                else sentence.format(value),
                "expect": [[kind, value]],
            }


def version() -> str:
    return ".".join(str(RNG.randrange(40)) for _ in range(RNG.choice((3, 4))))


def hexed(size: int) -> str:
    return sha256(RNG.randbytes(9)).hexdigest()[:size]


def no_luhn() -> str:
    body = digits(15, "456")
    return body + str((int(luhn_digit(body)) + RNG.randrange(1, 9)) % 10)


def stamp() -> str:
    return f"20{RNG.randrange(10, 40)}-{RNG.randrange(1, 13):02d}-{RNG.randrange(1, 29):02d}T{RNG.randrange(24):02d}:{RNG.randrange(60):02d}:{RNG.randrange(60):02d}"


def uuid_text() -> str:
    return str(uuid.UUID(int=RNG.getrandbits(128), version=4))


HARMLESS: dict[str, tuple[Callable[[], str], int, tuple[str, ...]]] = {
    "version": (version, 34, ("upgrade to v{}", "octolog=={}", "release {} fixes it", "requires kafka >= {}", "Chrome/{} Safari/537.36", "see section {} of the manual", "version {} of the SDK")),
    "uuid": (uuid_text, 30, ("task {} is over", "attempt={}", "GET /tasks/{}/result", '{{"task_id": "{}"}}', "{}")),
    "sha256": (lambda: hexed(64), 22, ("sha256:{}", "hash {} differs", "output_hash={}", "blob {} is missing")),
    "sha1": (lambda: sha1(RNG.randbytes(8), usedforsecurity=False).hexdigest(), 18, ("commit {}", "fixed in {} by a merge", "git show {}")),
    "timestamp": (stamp, 26, ("at {}Z the worker stopped", "{}.123456+00:00 INFO started", "from {}+02:00 on", "log-{}.txt")),
    "epoch": (lambda: f"17{digits(11)}", 16, ("timestamp_ms={}", "offset at {} ms", "ts: {}", '{{"at_ms": {}}}')),
    "order": (no_luhn, 22, ("order {} was shipped", "invoice no {}", "ticket {} is closed", "reference {}")),
    "offset": (lambda: f"{digits(1, '123456789')}{digits(RNG.randrange(4, 9))}", 20, ("octolog.tasks/3@{}", "offset {}", "{} records in 3 s", "line {} of the file", "id={}")),
    "decimal": (lambda: f"0.{digits(16)}", 12, ("a mean of {}", "p = {}", "the loss fell to {} after 3 epochs")),
    "path": (lambda: f"/srv/data/{hexed(8)}/part-{digits(5)}.parquet", 14, ("read {}", "open('{}')", "no such file: {}")),
    "url": (lambda: f"https://host.example/{hexed(12)}?page={RNG.randrange(99)}&v={version()}", 14, ("see {}", "[link]({})", "GET {} 200")),
    "money": (lambda: f"{RNG.randrange(1, 999)},{digits(3)},{digits(3)}.{digits(2)}", 10, ("a total of ${}", "{} EUR in the ledger")),
}  # fmt: skip


def negatives() -> Iterator[dict[str, Any]]:
    for kind, (made, count, sentences) in HARMLESS.items():
        for number in range(count):
            sentence = sentences[number % len(sentences)]
            value = made()
            text = sentence.format(value) if "{{" in sentence else sentence.replace("{}", value, 1)
            yield {"id": f"{kind}-{number:03d}", "kind": kind, "text": text}


def write(name: str, rows: Iterator[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write("positive_generated.jsonl", positives())
    write("negative_generated.jsonl", negatives())
