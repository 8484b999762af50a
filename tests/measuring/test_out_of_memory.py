"""Running out of memory: the budget is halved, the work goes on, and the result says so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, random, resource, sys
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from causaltest import Lab, Pair, Pairs, accuracy, last, resid_post
from causaltest.asking.settings import Settings

torch.set_num_threads(1)
torch.manual_seed(0)
words = [f"w{n}" for n in range(60)]
raw = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="w0"))
raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="w0", eos_token="w59")
config = GPT2Config(vocab_size=60, n_positions=64, n_embd=256, n_layer=4, n_head=4, initializer_range=0.3)
model = GPT2LMHeadModel(config).eval()
rng = random.Random(0)
def prompt():
    return " ".join(rng.choices(words[:50], k=40))
drawn = Pairs([Pair(clean=prompt(), corrupt=prompt(), answer="w1 w2 w3 w4") for _ in range(256)], iid=True)
gave = [r for r in Lab(model, tokenizer, name="m").clean(drawn).runs if len(r.clean_gave.split()) == 4]
pairs = Pairs([Pair(clean=r.clean, corrupt=r.corrupt, answer=r.clean_gave) for r in gave], iid=True)

def measured(memory):
    lab = Lab(model, tokenizer, name="m", settings=Settings(memory=memory, progress=False))
    site = resid_post(1, last())
    return lab.denoise(pairs, at=site).recovery(accuracy).measured

roomy = measured(64 << 20)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), resource.RLIM_INFINITY))
tight = measured(16 << 30)
print(json.dumps({
    "same": roomy.references["patched"] == tight.references["patched"],
    "roomy": roomy.provenance.get("memory"),
    "tight": tight.provenance.get("memory"),
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own address space, which Linux alone allows")
def test_out_of_memory_the_budget_is_halved_and_the_result_says_so():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["roomy"] is None
    assert told["tight"].startswith("out of memory: measured within ")
    assert told["tight"].endswith("equal only to rounding to a run within those")
    assert told["same"]
