"""Small networks of timm, torchvision and transformers with random weights, and data for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from library_transformers import TRANSFORMERS
from torch import Tensor, nn

Inputs = Tensor | dict[str, Tensor]
Model = tuple[nn.Module, Callable[[int], Inputs]]
"""A network, and what makes inputs for it by seed: two examples, with labels in a mapping."""

TIMM: Mapping[str, int] = {
    "beit_base_patch16_224": 224,
    "eca_botnext26ts_256": 256,
    "test_byobnet": 64,
    "cait_xxs24_224": 224,
    "coat_tiny": 224,
    "convit_tiny": 224,
    "convmixer_768_32": 64,
    "test_convnext": 64,
    "cpubone_nano": 64,
    "crossvit_tiny_240": 240,
    "csatv2": 64,
    "cs3darknet_focus_s": 64,
    "cspnext_tiny": 64,
    "davit_tiny": 64,
    "deepseek_vit_412m": 98,
    "deit_tiny_patch16_224": 224,
    "densenet121": 64,
    "dla34": 64,
    "dpn48b": 64,
    "edgenext_xx_small": 64,
    "efficientformer_l1": 224,
    "efficientformerv2_s0": 224,
    "test_efficientnet": 64,
    "efficientvim_m1": 64,
    "efficientvit_b0": 64,
    "efficientvit_m0": 224,
    "vit_tiny_patch16_dinov3_qkvb": 256,
    "fasternet_t0": 64,
    "fastvit_t8": 64,
    "focalnet_tiny_srf": 64,
    "gcvit_xxtiny": 224,
    "gemma4_vit_167m": 64,
    "ghostnet_050": 64,
    "hardcorenas_b": 64,
    "hgnetv2_b0": 64,
    "hiera_tiny_224": 224,
    "sam2_hiera_tiny": 64,
    "hrnet_w18_small": 64,
    "iformer_t": 64,
    "inception_next_atto": 64,
    "inception_resnet_v2": 96,
    "inception_v3": 96,
    "inception_v4": 96,
    "lcnetv2_small": 64,
    "levit_128": 224,
    "lowformer_b0": 64,
    "test_mambaout": 64,
    "test_coatnet": 160,
    "caformer_s18": 64,
    "gmixer_12_224": 224,
    "mobilenetv3_small_050": 64,
    "mobilenetv5_base": 64,
    "mobilevit_xxs": 64,
    "mvitv2_tiny": 224,
    "naflexvit_base_patch16_gap": 64,
    "nasnetalarge": 96,
    "nest_tiny": 224,
    "nextvit_small": 64,
    "test_nfnet": 64,
    "pit_ti_224": 224,
    "pnasnet5large": 96,
    "pvt_v2_b0": 64,
    "qwen3_vit_88m": 64,
    "rdnet_tiny": 64,
    "regnetx_002": 64,
    "repghostnet_050": 64,
    "repvit_m1": 64,
    "res2next50": 64,
    "resnest14d": 64,
    "test_resnet": 64,
    "resnetv2_18": 64,
    "rexnet_100": 64,
    "selecsls42": 64,
    "legacy_seresnet18": 64,
    "sequencer2d_s": 224,
    "shvit_s1": 64,
    "skresnet18": 64,
    "starnet_s050": 64,
    "swiftformer_xs": 224,
    "swin_tiny_patch4_window7_224": 224,
    "swinv2_tiny_window8_256": 256,
    "swinv2_cr_tiny_224": 224,
    "tiny_vit_5m_224": 64,
    "tnt_s_legacy_patch16_224": 224,
    "tresnet_m": 64,
    "twins_svt_small": 224,
    "vgg11": 64,
    "visformer_tiny": 224,
    "test_vit": 160,
    "vit_tiny_r_s16_p8_224": 224,
    "test_vit_relpos": 160,
    "samvit_base_patch16_224": 224,
    "vitamin_small_224": 224,
    "volo_d1_224": 224,
    "ese_vovnet19b_slim_dw": 64,
    "legacy_xception": 64,
    "xception41p": 64,
    "xcit_nano_12_p8_224": 224,
}
"""The smallest of the first members of each family -> pixels of its images."""

SHALLOW = {
    "beit_base_patch16_224", "deepseek_vit_412m", "gemma4_vit_167m", "naflexvit_base_patch16_gap",
    "qwen3_vit_88m", "samvit_base_patch16_224",
}  # fmt: skip
"""Of these no member is small: two of their blocks are built."""

TORCHVISION = (
    "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1",
    "swin_t", "swin_v2_t", "vit_b_32", "wide_resnet50_2",
)  # fmt: skip


def ids(chance: torch.Generator, length: int = 12) -> Tensor:
    return torch.randint(4, 98, (2, length), generator=chance)


READS: Mapping[str, Callable[[torch.Generator], dict[str, Tensor]]] = {
    "classes": lambda g: {
        "input_ids": torch.cat([ids(g, 11), torch.tensor([[98], [98]])], 1),
        "attention_mask": torch.ones(2, 12, dtype=torch.long),
        "labels": torch.tensor([0, 1]),
    },
    "language": lambda g: (lambda x: {"input_ids": x, "labels": x})(ids(g, 32)),
    "answers": lambda g: {"input_ids": ids(g), "labels": ids(g, 6)},
    "image": lambda g: {
        "pixel_values": torch.randn(2, 3, 32, 32, generator=g),
        "labels": torch.tensor([0, 3]),
    },
    "map": lambda g: {
        "pixel_values": torch.randn(2, 3, 64, 64, generator=g),
        "labels": torch.randint(4, (2, 64, 64), generator=g),
    },
    "sound": lambda g: {
        "input_values": torch.randn(2, 800, generator=g),
        "labels": torch.tensor([0, 3]),
    },
    "spectrum": lambda g: {
        "input_values": torch.randn(2, 64, 32, generator=g),
        "labels": torch.tensor([0, 3]),
    },
    "speech": lambda g: {
        "input_features": torch.randn(2, 16, 32, generator=g),
        "labels": ids(g, 6),
    },
    "pair": lambda g: {
        "input_ids": ids(g),
        "pixel_values": torch.randn(2, 3, 32, 32, generator=g),
        "return_loss": True,  # type: ignore[dict-item]
    },
}


def images(size: int, classes: int) -> Callable[[int], Tensor]:
    return lambda seed: torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def of_timm(name: str, size: int) -> Model:
    import timm

    usual = timm.get_pretrained_cfg(name).input_size[-1]
    given: dict[str, int] = {} if size == usual else {"img_size": size}
    given |= {"depth": 2} if name in SHALLOW else {}
    try:
        return timm.create_model(name, num_classes=4, **given), images(size, 4)
    except TypeError:  # a network of convolutions takes any size
        return timm.create_model(name, num_classes=4), images(size, 4)


def of_torchvision(name: str) -> Model:
    import torchvision

    size = {"inception_v3": 96, "maxvit_t": 224, "vit_b_32": 224}.get(name, 64)
    init = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, num_classes=4, **init), images(size, 4)


def of_transformers(name: str) -> Model:
    import transformers

    config, reads, values = TRANSFORMERS[name]
    model = getattr(transformers, name)(getattr(transformers, f"{config}Config")(**values))
    return model, lambda seed: READS[reads](torch.Generator().manual_seed(seed))


def every() -> Iterator[tuple[str, str, Callable[[], Model]]]:
    """(library, name, what makes the network) of all."""
    for name, size in TIMM.items():
        yield "timm", name, lambda name=name, size=size: of_timm(name, size)
    for name in TORCHVISION:
        yield "torchvision", name, lambda name=name: of_torchvision(name)
    for name in TRANSFORMERS:
        yield "transformers", name, lambda name=name: of_transformers(name)
