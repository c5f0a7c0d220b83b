"""Models as users write them: flax, equinox, a ResNet-18 and a small GPT in torch."""

import numpy as np
import pytest
from house import ROOT
from pages import blocks, run_page

from tangency.kernels.finite import EmpiricalKernel


def rows_of(net, x):
    """Reference: one backward pass per sample and output, ``[n, O, P]``."""
    torch = pytest.importorskip("torch")
    params = [p for p in net.parameters() if p.requires_grad]
    rows = []
    for i in range(len(x)):
        for o in net(x[i : i + 1]).flatten():
            grads = torch.autograd.grad(o, params, retain_graph=True)
            rows.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(rows).reshape(len(x), -1, rows[0].numel())


def resnet18(torch, classes, width):
    """He et al. 2016 (1512.03385), table 1, for images of any size."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, inner, outer, stride):
            super().__init__()
            conv = lambda a, b, k, s: nn.Conv2d(a, b, k, s, k // 2, bias=False)  # noqa: E731
            self.conv1, self.bn1 = conv(inner, outer, 3, stride), nn.BatchNorm2d(outer)
            self.conv2, self.bn2 = conv(outer, outer, 3, 1), nn.BatchNorm2d(outer)
            self.relu, self.down = nn.ReLU(inplace=True), nn.Identity()
            if stride != 1 or inner != outer:
                self.down = nn.Sequential(
                    conv(inner, outer, 1, stride), nn.BatchNorm2d(outer)
                )

        def forward(self, x):
            h = self.relu(self.bn1(self.conv1(x)))
            h = self.bn2(self.conv2(h))
            h += self.down(x)
            return self.relu(h)

    w = width
    layers = [nn.Conv2d(3, w, 7, 2, 3, bias=False), nn.BatchNorm2d(w)]
    layers += [nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    for inner, outer, stride in ((w, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 2)):
        layers += [Block(inner, outer, stride), Block(outer, outer, 1)]
    layers += [Block(4 * w, 8 * w, 2), Block(8 * w, 8 * w, 1)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * w, classes)]
    return nn.Sequential(*layers)


def test_a_torch_resnet18():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = resnet18(torch, 4, 4).double()
    x = torch.randn(3, 3, 32, 32).double()
    # Statistics of data, as after training.
    net.train()(torch.randn(16, 3, 32, 32).double())
    with pytest.raises(ValueError, match=r"1 is a BatchNorm2d.*\.eval\(\)"):
        EmpiricalKernel(net)(x)
    net.eval()
    kernel = EmpiricalKernel(net, method="structured", trace_axes=())
    got = kernel(x[:2], x[1:])
    j1, j2 = rows_of(net, x[:2]), rows_of(net, x[1:])
    want = torch.einsum("nof,mpf->nmop", j1, j2)
    assert (got - want).abs().max() < 1e-12 * want.abs().max()
    hows = {p.name: p.how for p in kernel.explain(x).parameters}
    assert len(hows) == 61  # 20 convolutions, 20 norms of two, one dense layer
    convolutions = [k for k, how in hows.items() if how == "convolution"]
    assert len(convolutions) == 20
    assert not any("one sample at a time" in how for how in hows.values())


def gpt(torch, vocabulary, width, heads, tokens):
    """A small GPT-2: learned positions, pre-norm blocks, flash attention, tied head."""
    nn, f = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x):
            n, t, c = x.shape
            split = lambda z: z.view(n, t, heads, -1).transpose(1, 2)  # noqa: E731
            q, k, v = map(split, self.qkv(self.ln1(x)).split(c, dim=2))
            a = f.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(a.transpose(1, 2).reshape(n, t, c))
            return x + self.mlp(self.ln2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte = nn.Embedding(vocabulary, width)
            self.wpe = nn.Embedding(tokens, width)
            self.blocks = nn.ModuleList([Block(), Block()])
            self.ln = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.wte.weight

        def forward(self, ids):
            x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.ln(x))[:, -1]

    return GPT()


def test_a_small_gpt_with_flash_attention():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = gpt(torch, 13, 8, 2, 6).double()
    ids = torch.randint(0, 13, (4, 6))
    kernel = EmpiricalKernel(net, method="structured", trace_axes=())
    got = kernel(ids)
    j = rows_of(net, ids)
    want = torch.einsum("nof,mpf->nmop", j, j)
    assert (got - want).abs().max() < 1e-12 * want.abs().max()
    paths = {p.name: (p.how, p.reason) for p in kernel.explain(ids).parameters}
    assert paths["wte.weight"] == ("jacobian", "used several times")
    assert paths["blocks.0.qkv.weight + blocks.0.qkv.bias"][0] == "product"
    assert not any("one sample at a time" in how for how, _ in paths.values())
    with pytest.raises(TypeError, match="flash attention"):
        EmpiricalKernel(net, method="ntk_vp")(ids)


def layers_of(jnp):
    """A model in the style of flax, without flax: nested dicts of named weights."""
    rng = np.random.default_rng(0)
    normal = lambda *s: jnp.asarray(rng.standard_normal(s), jnp.float32)  # noqa: E731
    return {
        "params": {
            "Conv_0": {"kernel": normal(3, 3, 1, 4), "bias": normal(4)},
            "BatchNorm_0": {"scale": normal(4), "bias": normal(4)},
            "Dense_0": {"kernel": normal(4, 3), "bias": normal(3)},
        },
        "batch_stats": {"BatchNorm_0": {"mean": normal(4), "var": normal(4) ** 2}},
    }


def test_variables_in_the_style_of_flax():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    variables = layers_of(jnp)

    def model(v, x):
        p, stats = v["params"], v["batch_stats"]["BatchNorm_0"]
        x = jax.lax.conv_general_dilated(
            x,
            p["Conv_0"]["kernel"],
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = x + p["Conv_0"]["bias"]
        scale = jax.lax.rsqrt(stats["var"] + 1e-5) * p["BatchNorm_0"]["scale"]
        x = jax.nn.relu((x - stats["mean"]) * scale + p["BatchNorm_0"]["bias"])
        x = x.mean((1, 2))
        return x @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]

    x = jnp.asarray(np.random.default_rng(1).standard_normal((3, 6, 5, 1)), jnp.float32)
    kernel = EmpiricalKernel(
        model, variables, select=lambda name: name.startswith("params/")
    )
    names = {p.name: p.how for p in kernel.explain(x).parameters}
    conv = "params/Conv_0/kernel + params/Conv_0/bias"
    assert names[conv] == "convolution"
    assert not any("batch_stats" in name for name in names)
    params, stats = variables["params"], variables["batch_stats"]
    run = lambda p: model({"params": p, "batch_stats": stats}, x)  # noqa: E731
    rows = [j.reshape(3, 3, -1) for j in jax.tree.leaves(jax.jacrev(run)(params))]
    want = sum(jnp.einsum("nof,mof->nm", j, j) for j in rows) / 3
    np.testing.assert_allclose(kernel(x), want, rtol=1e-4, atol=1e-4)


def test_a_flax_module():
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    import jax

    model = linen.Sequential([linen.Dense(8), linen.relu, linen.Dense(3)])
    x = jax.random.normal(jax.random.key(0), (4, 5))
    variables = model.init(jax.random.key(1), x)
    kernel = EmpiricalKernel(model.apply, variables)
    rows = jax.tree.leaves(jax.jacrev(lambda v: model.apply(v, x))(variables))
    rows = [j.reshape(4, 3, -1) for j in rows]
    want = sum(jax.numpy.einsum("nof,mof->nm", j, j) for j in rows) / 3
    np.testing.assert_allclose(kernel(x), want, rtol=1e-4)
    assert all(p.how == "product" for p in kernel.explain(x).parameters)


def test_an_equinox_module():
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    import jax

    model = eqx.nn.MLP(5, 3, 8, 2, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 5))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    f = lambda p, x: jax.vmap(eqx.combine(p, static))(x)  # noqa: E731
    with pytest.raises(TypeError, match="equinox.partition"):
        EmpiricalKernel(lambda m, x: jax.vmap(m)(x), model)(x)
    kernel = EmpiricalKernel(f, params)
    rows = jax.tree.leaves(jax.jacrev(f)(params, x))
    want = sum(
        jax.numpy.einsum("nof,mof->nm", *[j.reshape(4, 3, -1)] * 2) for j in rows
    )
    np.testing.assert_allclose(kernel(x), want / 3, rtol=1e-4)
    paths = kernel.explain(x).parameters
    assert all(p.how == "product" for p in paths if "weight" in p.name)


def test_the_page_on_the_empirical_ntk_is_true(capsys):
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    page = ROOT / "docs" / "empirical_ntk.md"
    run_page(page)
    printed, shown = capsys.readouterr().out, blocks(page, "text")
    assert shown
    assert all(expected in printed for expected in shown)
