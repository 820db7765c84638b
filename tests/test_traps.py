"""The traps and checkable facts of METHODS.md, in its order, and that each has a test marked with it."""

import ast
from collections.abc import Iterator
from pathlib import Path

TRAPS = {
    "Domain of an attention map": (
        "maps are float32, under autocast too",
        "maps are before dropout, in training too",
        "every valid row sums to 1 and masked keys are exactly 0",
        "T5 has scale 1 and a position bias, BERT and ViT D^-1/2 and none",
        "a map outside the domain raises AttentionDomainError with site, layer and what",
        "losses zero whatever stands in masked cells, inf and NaN included",
        "under SDPA output_attentions=True returns an empty tuple without an exception",
        "eager maps of T5 and BLIP's vision are after dropout, of BLIP's text before it",
        "a registered attention function without a mask function loses the padding mask",
        "BLIP's own attention ignores registered attention functions",
    ),
    "Sites": (
        "each task's model has the sites of its family and no others",
        "a site that the model lacks is an error",
        "a layer map is last, uniform or pairs within both depths, checked before training",
    ),
    "AMAD": (
        "invalid cells drop out of every sum",
        "a sample without a valid cell leaves the batch mean",
        "without any valid cell the loss is 0",
        "0 log 0 = 0 and log m means log(max(m, 1e-12))",
        "the alignment is a softmax over student heads",
        "kl is by rows: over raw maps, mean over valid rows",
        "L1-normalised flattened maps give the same KL as rows",
        "mse compares maps of L2 length 1",
        "projected: a mixture's row is divided by max(its sum, 1e-12), as ReLU can empty it",
        "projected starts near the identity, with a bias of 1/K",
        "projected needs one fixed map size and is refused above 4,096 cells",
        "token aligns each query row by itself",
        "token is the mean over valid rows, or the printed sum",
        "the loss is the mean over the batch, the mapped layers and sites",
        "over heads it is the printed sum, or the mean",
        "l1 similarity collapses to the mean of student heads for long Q",
        "the gradient passes through the alignment unless detached",
        "H < G, H = G and H > G all work",
        "the order of heads does not matter",
        "0 when all heads are one and the same map",
        "a student that copies distinct heads has a loss and a gradient: it is no optimum",
        "no weight exceeds e / (e + G - 1), .280 for G = 8",
        "a hot temperature is the control student_mean",
        "mse equals its Gram form, which cancels near zero unless summed in float64",
    ),
    "Comparators": (
        "ce needs no teacher",
        "logit_kd is tau^2 KL, a mean over valid target tokens",
        "one_to_one is skipped for H != G unless `drop: extra`",
        "head_mean compares the two means",
        "student_mean weighs all student heads alike",
        "random_alignment is Dirichlet(1), drawn once per site and layer from the seed",
        "hungarian: the best assignment, then each head left over to its nearest",
        "sinkhorn: marginals are uniform and the plan passes a gradient unless detached",
        "minilm adds value relations and is skipped for H != G",
        "minilm_v2 re-splits both widths into R relation heads and is skipped where R does not divide",
        "minilm_v2 in cross-attention: Q-Q is QxQ, K-K and V-V are KxK",
        "tinybert compares pre-softmax scores over valid cells; H != G leaves the hidden term alone",
        "hidden_mse learns a d_S x d_T map without bias and counts valid tokens",
        "a2d as released: double softmax, a sum, a weight of .9^(epoch - 1)",
        "a2d without double softmax keeps rows distributions",
        "shd: consecutive groups whose sizes differ by at most 1, merged left to right",
        "shd: alpha is the best in [0, 1], .5 where D X = 0",
        "shd is skipped for H < G",
        "all losses of a replicate share seeds, data order and initial weights",
        "every attention loss has the same CE + logit-KD base",
        "a finished student may be named as a teacher",
    ),
    "Head counts": (
        "`heads.keep: head_size` changes the inner width, `heads.keep: inner_width` the head size",
        "BLIP's width must divide by its heads: `heads.keep: inner_width` only",
        "BLIP of 4 heads strict-loads into 2 heads and computes another function",
        "T5 of other heads fails through its bias table alone",
        "the head partition is part of a checkpoint",
        "loading across head counts is refused unless `init` says inherit or remap",
        "inherit takes the first G heads or every H/G-th",
        "t5-small has 8 heads, t5-base 12, t5-large 16, of 64 channels",
        "BERT and ViT-B have 12 heads, ViT-L 16",
        "BlipTextConfig has 8 heads by default, no tensor shows it",
    ),
    "VL-T5 facts": (
        "VL-T5 equals the official code: states, logits, losses, greedy answers",
        "the encoder sees text, then regions; no scaling and no norm on both",
        "of the files' regions the first 36 are used, boxes become [0, 1]",
        "a region is features + place and area + image order + object order",
        "object i is row V-1-i of the text embedding table",
        "features and places pass a norm each, orders and the sum none; or the sum one",
        "masked boxes get order embeddings, too",
        "share_vis_lang_layer_norm does nothing",
        "the official area reads boxes as x1, x2, y1, y2 and can be negative",
        "models trained here have the true area",
        "the relative bias is between text tokens only, and one for all layers",
        "the key mask covers padded text and masked boxes",
        "scores are q.k without D^-1/2",
        "the decoder has no padding mask",
        "logits are hidden * d^-0.5 times the shared table",
        "task prefixes: vqa, caption, translate English to German",
        "pre-training prefixes and tasks are the official ones",
        "span prediction masks 15 % of the words",
        "half of the pairs of image text match are mismatched",
        "pre-training losses are those of the official code",
        "VQA answers are drawn in proportion to their scores",
        "the VQA loss is each sample's token mean times its score, then a batch mean",
        "official steps pass no box mask: then every box is seen",
        "VL-T5's VQA is greedy with max_length 20: the script's 5 beams are not passed on",
        "Multi30K has BLEU with case:lc",
        "without weights the loss is the mean over all label tokens that are not -100",
        "weight decay is on T5's norms, too, and not on the relative bias",
        "AdamW has eps 1e-6",
        "the linear schedule warms up, then falls to 0",
        "VL-T5 is fine-tuned with lr 5e-5, warm-up .1, weight decay .01, clip 5, dropout .1",
        "VL-T5: 20/20/40 epochs in batches of 4 x 80/80/30; BLIP: 10 and 5 epochs in batches of 256",
    ),
    "BLIP facts": (
        "BLIP base is ViT-B/16 of 768 channels, 12 layers and 12 heads, and a BERT of the same",
        'the captioner continues the prompt "a picture of"',
        "answers are generated or the best of k, chosen by their first token",
        "BLIP's schedule is a cosine",
        "BLIP: caption lr 1e-5, 384 px, 3 beams; VQA lr 2e-5, 480 px, k = 128; decay .05, cosine",
        "BlipVisionConfig.initializer_range is 1e-10: fresh weights need a spread",
        "BLIP runs under SDPA by own modules with the same parameters",
        "labels of -100 raise an IndexError in transformers' VQA path",
        "labels shifted twice lose the first token",
        "the image processor is PIL's by name, no fallback",
        "a none run refuses weights, fine-tuned ones among them",
    ),
    "VQA accuracy: two official rules": (
        "leave-one-out over ten annotators: 0, .3, .6, .9, 1",
        "2017: answers lose their punctuation only, and only if not unanimous",
        "2021: unanimous answers are compared raw, else both sides are normalised",
        "the rule is 2017 by default and both are stored",
        "at most 32 periods go, and none before a digit",
        "digit-comma-digit anywhere deletes all listed punctuation",
        "contraction keys with capitals never match",
        "one answer per question: leave-one-out is 0, the metric is exact_match",
    ),
}


def _marked(path: Path) -> Iterator[tuple[str, str]]:
    """(trap, test) of each `@pytest.mark.trap(text)` in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for decorator in getattr(node, "decorator_list", []):
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.trap":
                (text,) = decorator.args
                assert isinstance(node, ast.FunctionDef)
                yield ast.literal_eval(text), f"{path.name}::{node.name}"


def test_each_trap_has_a_test_and_each_marker_a_trap(repository):
    texts = [text for section in TRAPS.values() for text in section]
    marked = [pair for path in sorted((repository / "tests").rglob("test_*.py")) for pair in _marked(path)]
    assert len(texts) == len(set(texts))
    assert [pair for pair in marked if pair[0] not in texts] == []
    assert [text for text in texts if text not in dict(marked)] == []
    assert all(test.partition("::")[2].startswith("test_") for _, test in marked)
