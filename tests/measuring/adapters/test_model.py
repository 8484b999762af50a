"""LoadedModel: refuses train mode in any part, and says which sites there are."""

from dataclasses import replace

import pytest
from torch import nn

from causaltest import Lab, attn_out, embed, head, index, k, logit_diff, neuron, q, resid_mid, resid_post, v
from causaltest.errors import ModelError, SiteError
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.model import Reasoning


def test_a_model_in_train_mode_is_refused(new_gpt2, word_tokenizer, random_pairs):
    lab = Lab(new_gpt2().train(), word_tokenizer(), name="mine")
    with pytest.raises(ModelError, match=r"mine is in train mode \(the model\).*Call \.eval\(\)"):
        lab.denoise(random_pairs(), at=resid_post(0, index(0))).recovery(logit_diff)


def test_one_part_in_train_mode_is_enough_and_is_named(new_gpt2, word_tokenizer):
    model = new_gpt2()
    model.transformer.h[2].mlp.dropout.train()
    with pytest.raises(ModelError, match=r"mine is in train mode \(transformer\.h\.2\.mlp\.dropout\)"):
        wrap(model, word_tokenizer(), "mine")


def test_a_projection_in_train_mode_is_refused(tiny_gpt2):
    loaded = tiny_gpt2.backend.loaded
    project = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 16))
    with pytest.raises(ModelError, match="tiny GPT-2's projection is in train mode"):
        replace(loaded, reasoning=Reasoning(2, (0,), (1,), project))
    project[1].eval()
    project.training = False
    with pytest.raises(ModelError, match=r"tiny GPT-2's projection is in train mode \(0\)"):
        replace(loaded, reasoning=Reasoning(2, (0,), (1,), project))
    replace(loaded, reasoning=Reasoning(2, (0,), (1,), project.eval()))


@pytest.mark.parametrize(
    "site, told",
    [
        (resid_post(3), "tiny Llama has no layer 3: its layers are 0 to 2"),
        (resid_mid((1, 7)), "tiny Llama has no layer 7: its layers are 0 to 2"),
        (k(3, 0), "tiny Llama has no layer 3: its layers are 0 to 2"),
        (head(1, 4), "tiny Llama has no head 4: its heads are 0 to 3"),
        (q(1, (0, 4)), "tiny Llama has no q head 4: its q heads are 0 to 3"),
        (k(1, 9), "tiny Llama has no k head 9: its k heads are 0 to 1"),
        (v(range(3), 2), "tiny Llama has no v head 2: its v heads are 0 to 1"),
        (neuron(1, 24), "tiny Llama has no neuron 24: its neurons are 0 to 23"),
    ],
)
def test_a_site_that_is_not_there_says_the_range(tiny_llama, site, told):
    with pytest.raises(SiteError, match=f"^{told}\\.$"):
        tiny_llama.backend.loaded.check(site)


@pytest.mark.parametrize("site", [embed(), resid_mid(2), head(2, 3), q(2, 3), k(2, 1), v(2, 1), neuron(2, 23)])
def test_a_site_that_is_there_is_let_through(tiny_llama, site):
    tiny_llama.backend.loaded.check(site)


def test_a_parallel_block_has_no_stream_between_attention_and_mlp(tiny_neox, tiny_sequential_neox):
    with pytest.raises(SiteError, match=r"^resid_mid is not offered for tiny NeoX: in layer 0 .* side by side"):
        tiny_neox.backend.loaded.check(resid_mid(1))
    tiny_sequential_neox.backend.loaded.check(resid_mid(1))


def test_a_component_that_is_not_offered_says_why(tiny_gpt2):
    loaded = replace(tiny_gpt2.backend.loaded, disabled={"attn_out": "it is normed before it is added"})
    with pytest.raises(SiteError, match="attn_out is not offered for tiny GPT-2: it is normed before it is added"):
        loaded.check(attn_out(0))
    loaded.check(resid_post(0))
