"""What a user names by hand in pyproject.toml: read, refused where it is not understood, and proven all the same."""

import copy

import pytest
from torch import nn

from causaltest.errors import ModelError
from causaltest.measuring.adapters.decoder import resolve_blocks
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.overrides import Names, names_for


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes a pyproject.toml and goes to a folder below it."""
    below = tmp_path / "claims"
    below.mkdir()
    monkeypatch.chdir(below)

    def write(text):
        (tmp_path / "pyproject.toml").write_text(text)

    return write


def test_the_nearest_file_upwards_is_read(project, new_gpt2):
    project('[tool.causaltest.models."GPT2LMHeadModel"]\nblocks = "transformer.h"\nattn_out = "attn"\n')
    names = names_for(new_gpt2())
    assert (names.blocks, names.attn_out, names.mlp) == ("transformer.h", "attn", None)
    assert names.source.endswith('pyproject.toml, [tool.causaltest.models."GPT2LMHeadModel"]')


@pytest.mark.parametrize(
    "text", ["", "[tool.other]\nblocks = 1\n", '[tool.causaltest.models."Other"]\nx = 1\n', "not ["]
)
def test_nothing_is_said_of_another_class_or_by_a_broken_file(project, new_gpt2, text):
    project(text)
    assert names_for(new_gpt2()) == Names()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('block = "x"', r"has no key 'block'; it has blocks, attention, mlp, attn_out"),
        ("blocks = 3", r"blocks = 3 must be the path of a module, such as"),
        ('blocks = ""', r"blocks = '' must be the path of a module"),
    ],
)
def test_a_table_that_is_not_understood_says_so(project, new_gpt2, table, told):
    project(f'[tool.causaltest.models."GPT2LMHeadModel"]\n{table}\n')
    with pytest.raises(ModelError, match=told):
        names_for(new_gpt2())


def test_a_table_that_is_no_table(project, new_gpt2):
    project("[tool.causaltest.models]\nGPT2LMHeadModel = 3\n")
    with pytest.raises(ModelError, match="is no table; it has the keys blocks, attention"):
        names_for(new_gpt2())


def test_blocks_that_could_be_two_lists_are_named(project, new_gpt2, word_tokenizer):
    model = new_gpt2()
    model.transformer.others = copy.deepcopy(model.transformer.h)
    project('[tool.causaltest.models."GPT2LMHeadModel"]\nblocks = "transformer.h"\n')
    loaded = wrap(model, word_tokenizer(), "mine")
    assert [block.block for block in loaded.blocks] == list(model.transformer.h)
    assert loaded.disabled == {}


def test_a_list_that_is_not_there_is_refused(project, new_gpt2):
    project('[tool.causaltest.models."GPT2LMHeadModel"]\nblocks = "model.layers"\n')
    with pytest.raises(ModelError, match=r"blocks = 'model.layers' is no list of modules in GPT2LMHeadModel"):
        resolve_blocks(new_gpt2())


class Strange(nn.Module):
    """Attention under a name that says nothing."""

    def __init__(self, attention):
        super().__init__()
        self.inner = Reader(attention)
        self.eval()

    def forward(self, *given, **more):
        return self.inner(*given, **more)


class Reader(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.ask, self.key, self.val, self.out = (
            attention.q_proj,
            attention.k_proj,
            attention.v_proj,
            attention.o_proj,
        )
        object.__setattr__(self, "real", attention)

    def forward(self, *given, **more):
        return self.real(*given, **more)


def test_modules_with_names_of_their_own_are_found_when_they_are_named(project, new_llama, word_tokenizer):
    model = new_llama()
    for layer in model.model.layers:
        layer.self_attn = Strange(layer.self_attn)
    found = wrap(model, word_tokenizer(), "strange").disabled
    assert {"attn_out", "head", "q", "v"} <= set(found)
    project(
        '[tool.causaltest.models."LlamaForCausalLM"]\n'
        'attention = "self_attn"\nhead = "self_attn.inner.out"\n'
        'q = "self_attn.inner.ask"\nv = "self_attn.inner.val"\n'
    )
    # Its attention is its own, and gives out no weights.
    assert set(wrap(model, word_tokenizer(), "named").disabled) == {"pattern"}


def test_a_wrong_name_does_not_make_a_site_true(project, new_llama, word_tokenizer):
    project('[tool.causaltest.models."LlamaForCausalLM"]\nq = "self_attn.k_proj"\nattn_out = "mlp"\n')
    disabled = wrap(new_llama(), word_tokenizer(), "wrong").disabled
    assert {"attn_out", "mlp_out"} <= set(disabled)
    project('[tool.causaltest.models."LlamaForCausalLM"]\nk = "self_attn.v_proj"\n')
    assert "k" in wrap(new_llama(), word_tokenizer(), "wrong").disabled
