"""What the appendix of the IteRand paper prints, and the settings its tables vary; see make.py."""

from __future__ import annotations

# Accuracies in %, mean±std where there is one. A line of Table 3 has the widths of WIDTHS,
# of Table 7 the pruned shares of PRUNED_7.
WIDTHS = (0.25, 0.5, 1.0, 2.0)
TABLE_3 = """
conv6    iterand    sc 75.16±0.23 84.31±0.13 88.8±0.2   90.89±0.17
conv6    iterand    ku 73.9±0.47  83.18±0.38 88.2±0.38  90.53±0.28
conv6    edge-popup sc 70.35±1.16 81.54±0.11 87.6±0.11  90.25±0.06
conv6    edge-popup ku 67.02±1.14 79.37±0.23 86.14±0.37 89.91±0.23
conv6    sgd        ku 79.51±0.88 84.46±0.34 87.69±0.36 89.63±0.22
resnet18 iterand    sc 86.09±0.24 90.5±0.36  92.61±0.17 93.82±0.15
resnet18 iterand    ku 84.71±0.42 89.96±0.06 92.47±0.16 93.52±0.16
resnet18 edge-popup sc 84.23±0.33 89.61±0.06 92.29±0.04 93.57±0.13
resnet18 edge-popup ku 81.13±0.09 88.45±0.53 91.79±0.19 93.25±0.06
resnet18 sgd        ku 90.99±0.29 93.1±0.14  94.43±0.05 95.02±0.23
resnet34 iterand    sc 88.26±0.35 91.87±0.17 93.54±0.27 94.25±0.15
resnet34 iterand    ku 87.36±0.14 91.58±0.16 93.27±0.19 94.05±0.1
resnet34 edge-popup sc 87.37±0.3  91.41±0.26 93.27±0.09 94.25±0.13
resnet34 edge-popup ku 85.31±0.66 90.85±0.11 93.0±0.11  93.96±0.1
resnet34 sgd        ku 92.26±0.12 94.2±0.25  94.66±0.18 95.33±0.1
"""
TABLE_4 = """
resnet18  sgd        ku 69.89
resnet34  sgd        ku 73.82
resnet34  iterand    sc 65.86
resnet34  edge-popup sc 62.14
resnet50  iterand    sc 69.19
resnet50  edge-popup sc 67.11
resnet101 iterand    sc 72.99
resnet101 edge-popup sc 71.85
"""
SECONDS_5 = {"iterand": 6253.69, "edge-popup": 6231.8, "sgd": 6388.61}
PRUNED_7 = (0.5, 0.7, 0.9, 0.95, 0.99)
TABLE_7 = """
vgg11    iterand    sc 88.46±0.22 88.29±0.42 87.05±0.07 84.37±0.59  64.93±4.81
vgg11    edge-popup sc 87.09±0.31 87.34±0.21 85.11±0.55 81.06±0.84  61.71±6.05
vgg11    imp        kn 91.47±0.15 91.48±0.16 90.89±0.08 90.39±0.27 88.076±0.17
resnet20 iterand    sc 84.17±0.78 82.31±0.52 70.96±0.55 55.6±0.7    24.45±0.67
resnet20 edge-popup sc 76.57±0.91 75.83±2.75 49.25±6.33 42.96±3.91  20.11±3.43
resnet20 imp        kn 90.7±0.37  89.79±0.14 86.87±0.26 84.28±0.08  71.78±1.66
"""
TABLE_8 = {  # method -> width -> figure; resnet18
    "iterand": {0.5: "89.96±0.06", 1.0: "92.47±0.16"},
    "edge-popup": {0.5: "88.45±0.53", 0.65: "89.99±0.08", 1.0: "91.79±0.19", 1.3: "92.54±0.19"},
}
TABLE_9 = """
wide_resnet50_2 iterand    sc 73.57
wide_resnet50_2 edge-popup sc 71.59
resnet50        iterand    sc 74.05
resnet50        edge-popup sc 72.96
"""
TABLE_10 = """
lstm   iterand    sc 88.44±0.28
lstm   edge-popup sc 88.16±0.12
lstm   sgd        -  87.39±0.37
bilstm iterand    sc 88.51±0.24
bilstm edge-popup sc 88.34±0.19
bilstm sgd        -  87.62±0.22
"""
PRUNED_6 = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
PERIODS = (1, 30, 300, 3000, 30000)
RATES = (0.001, 0.01, 0.1, 1.0)

INITS = {
    "sc": "signed-constant",
    "ku": "kaiming-uniform",
    "kn": "kaiming-normal",
    "-": "default",
}
PRUNED = {"conv6": 0.5, "resnet18": 0.6, "resnet34": 0.6}
"""Share pruned on CIFAR-10, where a table does not vary it."""
