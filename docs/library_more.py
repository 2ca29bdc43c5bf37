"""More small networks, of seven libraries, for the count of weights alone; see library.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from library_models import READS, Model, images
from library_transformers import GROUPED
from library_words import WORDY
from torch import Tensor, nn

Make = Callable[[], Model]
CLASSIFIERS = (
    "resnet34", "efficientnet_b1", "mobilenet_v3_large", "mnasnet0_75", "mnasnet1_0",
    "regnet_y_800mf", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "squeezenet1_0",
)  # fmt: skip
"""Of torchvision, beside those of library_models.py."""
SEGMENTERS = ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
DETECTORS = (
    "fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn",
    "ssdlite320_mobilenet_v3_large",
)  # fmt: skip
VIDEOS = ("mc3_18",)


class Listed(nn.Module):
    """A detector of a list of images, as a network of a batch of them."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Any:
        return self.detector(list(images))


def of_torchvision(name: str) -> Model:
    import torchvision

    none = {"weights": None}
    if name in CLASSIFIERS:
        return torchvision.models.get_model(name, num_classes=4), images(96, 4)
    if name in VIDEOS:
        model = torchvision.models.get_model(name, num_classes=4)
        return model, _noise(2, 3, 16, 64, 64)
    model = torchvision.models.get_model(name, **none, weights_backbone=None, num_classes=4)
    if name in DETECTORS:
        model.transform.min_size, model.transform.max_size = (64,), 96
        return Listed(model), lambda seed: images(64, 4)(seed).sigmoid()
    return model, images(64, 4)


def _noise(*shape: int) -> Callable[[int], Tensor]:
    return lambda seed: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of_transformers(name: str) -> Model:
    import transformers

    reads, values = WORDY[name]
    kind = getattr(transformers, name)
    model = kind(kind.config_class(**values))
    return model, lambda seed: READS[reads](torch.Generator().manual_seed(seed))


def _adapted(config: Callable[[Any], Any]) -> Make:
    def make() -> Model:
        import peft
        import transformers

        values = {**GROUPED, "tie_word_embeddings": False}
        llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**values))
        model = peft.get_peft_model(llama, config(peft))
        return model, lambda seed: READS["language"](torch.Generator().manual_seed(seed))

    return make


TARGETS: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
PEFT: Mapping[str, Make] = {
    "LoRA": _adapted(lambda peft: peft.LoraConfig(r=4, **TARGETS)),
    "DoRA": _adapted(lambda peft: peft.LoraConfig(r=4, use_dora=True, **TARGETS)),
    "AdaLoRA": _adapted(lambda peft: peft.AdaLoraConfig(init_r=4, total_step=9, **TARGETS)),
    "IA3": _adapted(lambda peft: peft.IA3Config(feedforward_modules=[], **TARGETS)),
    "LoHa": _adapted(lambda peft: peft.LoHaConfig(r=4, **TARGETS)),
    "LoKr": _adapted(lambda peft: peft.LoKrConfig(r=4, **TARGETS)),
    "VeRA": _adapted(
        lambda peft: peft.VeraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    ),
    "FourierFT": _adapted(lambda peft: peft.FourierFTConfig(n_frequency=9, **TARGETS)),
    "Prompt": _adapted(
        lambda peft: peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    ),
    "Prefix": _adapted(
        lambda peft: peft.PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    ),
}


BY_NAME: Mapping[str, tuple[str, ...]] = {
    "DoRA": ("lora_A", "lora_B"),
    "AdaLoRA": ("lora_A", "lora_B"),
    "LoHa": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    "LoKr": ("lokr_w2",),
}
"""Adapters whose factors are multiplied with each other, or with themselves in the loss, so that
operands cannot be counted -> the factors whose zeros are zeros of what is added to a weight."""


def named(name: str, model: nn.Module) -> set[str]:
    """What an adapter of `BY_NAME` multiplies with, and all that Linear and Embedding do."""
    usual = (nn.Linear, nn.Embedding)
    found = {id(m.weight) for m in model.modules() if isinstance(m, usual)}
    kept = [
        n.removeprefix("base_model.model.").replace(".base_layer.", ".")
        for n, p in model.named_parameters()
        if id(p) in found or any(part in n.split(".") for part in BY_NAME[name])
    ]
    return set(kept)


def _segmenter(name: str) -> Make:
    def make() -> Model:
        import segmentation_models_pytorch as smp

        encoder = "mit_b0" if name == "Segformer" else "resnet18"
        size = 192 if name == "PAN" else 64
        return getattr(smp, name)(encoder, encoder_weights=None, classes=4), images(size, 4)

    return make


SMP = ("Unet", "UnetPlusPlus", "FPN", "Linknet", "MAnet", "PAN", "PSPNet", "DeepLabV3", "Segformer")


def _diffuser(
    name: str, inputs: Callable[[torch.Generator], dict[str, Any]], **values: Any
) -> Make:
    def make() -> Model:
        import diffusers

        model = getattr(diffusers, name)(**values)
        return model, lambda seed: inputs(torch.Generator().manual_seed(seed))

    return make


def _noisy(g: torch.Generator, channels: int = 3) -> dict[str, Any]:
    return {
        "sample": torch.randn(2, channels, 16, 16, generator=g),
        "timestep": torch.tensor([3, 9]),
    }


BLOCKS: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
DIFFUSERS: Mapping[str, Make] = {
    "UNet2DModel": _diffuser(
        "UNet2DModel", _noisy, **BLOCKS, sample_size=16, attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ),
    "UNet2DConditionModel": _diffuser(
        "UNet2DConditionModel",
        lambda g: {**_noisy(g, 4), "encoder_hidden_states": torch.randn(2, 5, 12, generator=g)},
        **BLOCKS, sample_size=16, cross_attention_dim=12, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ),
    "AutoencoderKL": _diffuser(
        "AutoencoderKL", lambda g: {"sample": torch.randn(2, 3, 16, 16, generator=g)},
        **BLOCKS, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    ),
    "DiTTransformer2DModel": _diffuser(
        "DiTTransformer2DModel",
        lambda g: {
            "hidden_states": torch.randn(2, 4, 8, 8, generator=g),
            "timestep": torch.tensor([3, 9]),
            "class_labels": torch.tensor([0, 2]),
        },
        num_attention_heads=2, attention_head_dim=8, in_channels=4, num_layers=2, sample_size=8,
        num_embeds_ada_norm=10, norm_num_groups=4,
    ),
    "PixArtTransformer2DModel": _diffuser(
        "PixArtTransformer2DModel",
        lambda g: {
            "hidden_states": torch.randn(2, 4, 8, 8, generator=g),
            "timestep": torch.tensor([3, 9]),
            "encoder_hidden_states": torch.randn(2, 5, 12, generator=g),
        },
        num_attention_heads=2, attention_head_dim=8, in_channels=4, num_layers=2, sample_size=8,
        cross_attention_dim=16, caption_channels=12, norm_num_groups=4,
    ),
    "SD3Transformer2DModel": _diffuser(
        "SD3Transformer2DModel",
        lambda g: {
            "hidden_states": torch.randn(2, 4, 8, 8, generator=g),
            "timestep": torch.tensor([3, 9]),
            "encoder_hidden_states": torch.randn(2, 5, 12, generator=g),
            "pooled_projections": torch.randn(2, 10, generator=g),
        },
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=12, caption_projection_dim=16,
        pooled_projection_dim=10, out_channels=4, pos_embed_max_size=8,
    ),
}  # fmt: skip

GRAPHS: Mapping[str, tuple[Any, ...]] = {
    "GCNConv": (8, 12), "SAGEConv": (8, 12), "GATConv": (8, 12, 2), "GATv2Conv": (8, 12, 2),
    "GraphConv": (8, 12), "TransformerConv": (8, 12), "ChebConv": (8, 12, 3), "TAGConv": (8, 12),
    "ARMAConv": (8, 12), "SGConv": (8, 12), "ClusterGCNConv": (8, 12), "LEConv": (8, 12),
    "MFConv": (8, 12), "GENConv": (8, 12),
}  # fmt: skip


class Graph(nn.Module):
    """A layer of torch_geometric between fixed edges, as a network of its nodes' features."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import torch_geometric.nn

        self.layer = getattr(torch_geometric.nn, name)(*GRAPHS[name])
        edges = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 2], [1, 2, 3, 4, 5, 0, 3, 5]])
        self.register_buffer("edges", torch.cat([edges, edges.flip(0)], 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x, self.edges)
        return out


def every() -> Iterator[tuple[str, str, Make]]:
    """(library, name, what makes the network) of all."""
    for name in (*CLASSIFIERS, *SEGMENTERS, *DETECTORS, *VIDEOS):
        yield "torchvision", name, lambda name=name: of_torchvision(name)
    for name in WORDY:
        yield "transformers", name, lambda name=name: of_transformers(name)
    for library, makes in (("peft", PEFT), ("diffusers", DIFFUSERS)):
        for name, make in makes.items():
            yield library, name, make
    for name in SMP:
        yield "smp", name, _segmenter(name)
    for name in GRAPHS:
        yield "torch_geometric", name, lambda name=name: (Graph(name), _noise(6, 8))
