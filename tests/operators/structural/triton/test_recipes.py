"""Recipes: several edits that pay together, as one variation."""

import random

from tests.operators.structural.triton.samples import CONV, NORM, OPERATORS, apply, refuses


def test_a_named_recipe_takes_every_step():
    text = apply(CONV, ("recipe", "rows in pairs"))
    for part in ("load_pairs(", "all_w = ()", "all_x = ()", "tl.num_programs(0)", ".permute(2, 0"):
        assert part in text
    assert "tile = (visit % grid_1)" in text


def test_most_random_recipes_for_the_convolution_load_rows_in_pairs():
    results = [OPERATORS["recipe"].apply(CONV, random.Random(seed)) for seed in range(12)]
    texts = [r[0] for r in results if r is not None]
    assert len(texts) == len(results)
    assert sum("load_pairs(" in t for t in texts) > len(texts) // 3
    assert len(set(texts)) > 2


def test_the_same_seed_gives_the_same_recipe():
    one, two = (OPERATORS["recipe"].apply(CONV, random.Random(7)) for _ in range(2))
    assert one == two


def test_nothing_without_something_to_keep():
    assert refuses("recipe", CONV.replace("w_ptr + outs", "w_ptr + batch + outs"), "operand kept")
    assert refuses("recipe", "x = 1\n")
    result = OPERATORS["recipe"].apply(NORM, random.Random(0))
    assert result is None or result[0] != NORM


def test_split_products_pack_an_operand_and_name_the_parts():
    text = apply(CONV, ("split_products", "products in parts"))
    assert ".permute(2, 0" in text
    assert 'input_precision="bf16x3"' in text or 'input_precision="tf32x3"' in text
    assert refuses("split_products", "x = 1\n")
