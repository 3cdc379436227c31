"""The training of a sweep in one line."""

import pytest

from dse.cli.recipe import recipe_text
from dse.config import Training


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "12 epochs, batch 32, AdamW, one-cycle"),
        (
            {"optimizer": "sgd", "schedule": "cosine", "epochs": 1},
            "1 epoch, batch 32, SGD, cosine",
        ),
        (
            {"optimizer": "sgd", "momentum": 0.8, "nesterov": False, "warmup": 0.1},
            "12 epochs, batch 32, SGD, constant, momentum 0.8, no nesterov, warmup 0.1",
        ),
        (
            {"weight_decay": 0.01, "label_smoothing": 0.05, "mixup": 0.2, "grad_clip": 1.0},
            "12 epochs, batch 32, AdamW, one-cycle, weight decay 0.01, label smoothing 0.05, "
            "grad clip 1, mixup 0.2",
        ),
        (
            {
                "augment": ["flip", "shift", "cutout"],
                "shift_pixels": 4,
                "precision": "bfloat16",
                "deterministic": True,
            },
            "12 epochs, batch 32, AdamW, one-cycle, flip + shift by up to 4 pixels + cutout of 8 "
            "pixels, bfloat16, deterministic",
        ),
    ],
)
def test_it_names_optimizer_and_schedule_and_what_is_not_the_default(given, text):
    if "warmup" in given:
        given = {**given, "schedule": "constant"}
    assert recipe_text(Training(**given)) == text
