"""Networks of libraries, pruned: counted by what they multiply with (docs/operands.py)."""

from __future__ import annotations

import pytest
from library import SCORERS, page, told
from library_models import of_timm, of_torchvision, of_transformers

NETWORKS = {
    "test_vit": lambda: of_timm("test_vit", 160),
    "test_efficientnet": lambda: of_timm("test_efficientnet", 96),
    "squeezenet1_1": lambda: of_torchvision("squeezenet1_1"),
    "BertForSequenceClassification": lambda: of_transformers("BertForSequenceClassification"),
    "MixtralForCausalLM": lambda: of_transformers("MixtralForCausalLM"),
    "XLNetForSequenceClassification": lambda: of_transformers("XLNetForSequenceClassification"),
    "Wav2Vec2ForSequenceClassification": lambda: of_transformers(
        "Wav2Vec2ForSequenceClassification"
    ),
    "T5ForConditionalGeneration": lambda: of_transformers("T5ForConditionalGeneration"),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_exactly_the_asked_share_of_what_is_multiplied_is_left(name: str, scorer: str) -> None:
    if name.endswith(("Classification", "LM", "Generation", "Model")):
        pytest.importorskip("transformers")
    assert told(NETWORKS[name], scorer).partition(",")[0] == "exact"


def test_the_page_counts_what_became_of_each() -> None:
    text = page(
        [
            ["timm", "a", "exact", "wrong: 3 of 9 kept, not 2", "exact", "exact"],
            ["peft", "b", "refused: x"],
        ]
    )
    assert "script lists are measured: 3 exact, 1 wrong, 1 refused." in text
    assert "| timm | a | exact | wrong: 3 of 9 kept, not 2 | exact | exact |" in text
    assert "| peft | b | refused: x |" in text
