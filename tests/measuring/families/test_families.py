"""Every family, component and layer against the plain reference of the catalogue, or refused with a sentence.

`make models` writes what is found to `models.json`, and from there to docs/models.md.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import transformers
from families.catalogue import FAMILIES
from families.records import COMPONENTS, record_of

RECORDS = Path(__file__).with_name("models.json")
WRITE = "CAUSALTEST_WRITE_MODELS" in os.environ
PROMISED = tuple(name for name, family in FAMILIES.items() if family.promised and "(" not in name)
BASIC = ("resid_pre", "resid_post", "attn_out", "mlp_out", "head")


def recorded():
    return json.loads(RECORDS.read_text()) if RECORDS.exists() else {}


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_offered_is_right_and_what_is_not_says_why(name, word_tokenizer, planned):
    record = record_of(name, word_tokenizer(), planned)
    assert record.wrong == []
    assert set(record.components) == set(COMPONENTS)
    assert all(said == "offered" or len(said.split()) > 3 for said in record.components.values())
    if WRITE:
        known = recorded().get("families", {}) | {name: record.data()}
        known = {family: known[family] for family in FAMILIES if family in known}
        RECORDS.write_text(json.dumps({"transformers": transformers.__version__, "families": known}, indent=1) + "\n")
    elif recorded()["transformers"] != transformers.__version__:
        pytest.skip(f"models.json is of transformers {recorded()['transformers']}")
    assert recorded()["families"][name] == record.data(), "docs/models.md is another table: run make models"


def test_every_family_is_recorded():
    assert set(recorded()["families"]) == set(FAMILIES)


def test_the_stream_what_is_added_to_it_and_heads_are_offered_in_almost_all_decoders():
    assert len(PROMISED) == 33
    known = recorded()["families"]
    lacking = {
        name: [c for c in BASIC if known[name]["components"][c] != "offered"]
        for name in PROMISED
        if any(known[name]["components"][c] != "offered" for c in BASIC)
    }
    assert len(PROMISED) - len(lacking) >= 28, lacking
