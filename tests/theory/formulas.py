"""The formulas of papers A and D in mpmath: the papers' letters, the digits of its context."""

from __future__ import annotations

from fractions import Fraction

import mpmath
from mpmath import ceil, exp, log, mpf, sqrt


def malach_layer_width(n_max, depth, eps, delta):
    n, l, e = map(mpf, (n_max, depth, eps))  # noqa: E741
    per_weight = int(ceil(64 * l**2 * n**3 / e**2 * log(2 * n**2 * l / mpf(delta))))
    return {"per_weight": per_weight, "layer": n_max**2 * per_weight,
            "log10_layer": mpmath.log10(n_max**2 * per_weight)}  # fmt: skip


def pensia_order(d, depth, eps, constant):
    return mpf(constant) * d * log(mpf(d) * depth / mpf(eps))


def orseau_weight_accuracy(eps, depth, n_max, f_max, norm_product, form):
    e = exp(1) if form == "printed" else 1
    return mpf(eps) / (e * depth * mpf(n_max) ** mpf("1.5") * mpf(f_max) * mpf(norm_product))


def orseau_num_bits(w_max, eps_w):
    base, ratio = log(mpf("1.5")), mpf(w_max) / mpf(eps_w)
    return {"kprime": log(3 * ratio) / base, "k": int(ceil(log(2 * ratio) / base))}


def orseau_layer_width(n_out, n_in, depth, n_star, delta, kprime, theorem):
    k, pairs = mpf(kprime), mpf(n_out) * n_in
    three = int(ceil(16 * k * (pairs + log(2 * depth * k / mpf(delta)))))
    union = log(2 * k * n_star / mpf(delta))
    thirty = int(ceil(2 * k * (pairs + 4 * max(n_out, n_in) * union)))
    corrected = int(ceil(16 * k * (pairs + union)))
    return {"3": three, "30": thirty, "3-corrected": corrected, "min": min(three, thirty)}[theorem]


def golden_ratio_samples(eps, delta, gamma, w_max):
    e, g, w = mpf(eps), mpf(gamma), mpf(w_max)
    steps = log(e / w) / log(g)
    k = int(mpmath.nint(steps))
    if abs(steps - k) > mpf(10) ** -40:
        k = int(ceil(steps))
    return {"kprime": 1 + steps, "k": k, "m": int(ceil((1 + steps) * log((1 + steps) / delta))),
            "support": [g * g * e, g * w], "c": 1 / log(w / (g * e))}  # fmt: skip


def fill_categories_samples(c, n, k, delta):
    return int(ceil(2 / mpf(c) * (n + log(k / mpf(delta)))))


def anytime_density(v, gamma, form):
    above = log(1 / mpf(v)) if form == "printed" else log(1 / mpf(gamma))
    return above / (mpf(v) * log(mpf(v)) ** 2)


def product_weight_density(w, alpha, beta):
    w, low, high = mpf(w), mpf(alpha), mpf(beta)
    c = 1 / log(high / low)
    u = 2 * c * (log(w) - log(low * high))
    if abs(u) > 2 - mpf(10) ** -100:
        return {"pdf": mpf(0), "cdf": mpf(u > 0)}
    cdf = (u + 2) ** 2 / 8 if u <= 0 else 1 - (2 - u) ** 2 / 8
    return {"pdf": c / w * (1 - abs(u) / 2), "cdf": cdf}


def hyperbolic_icdf(u, alpha, beta):
    return mpf(alpha) * (mpf(beta) / mpf(alpha)) ** mpf(u)


def unknown_w_max_factor(w_max):
    j = 0
    while 2**j < Fraction(w_max):
        j += 1
    return 2 ** (j + 1)


def iterand_min_samples(eps, delta):
    return int(ceil(2 / mpf(eps) * log(1 / mpf(delta))))


def iterand_width(lemma, eps, delta, R, d_in, d_out, depth, form):
    d, n = mpf(d_in), mpf(d_out)
    eta, theta, times = {
        "A4": (mpf(eps), mpf(delta), 1),
        "A5": (eps / sqrt(n), delta / n, 1),
        "A6": (eps / (d * sqrt(n)), delta / (d * n), d_in),
        "A1": (eps / (2 * depth * d * sqrt(n)), delta / (depth * d * n), d_in),
    }[lemma]
    if form == "printed":
        return times * 2 * int(ceil(16 / (eta**2 * mpf(R) ** 2) * log(2 / theta)))
    if eta >= 4:
        return times * 2
    with mpmath.workdps(400 if eps > 1e-20 else 1500):
        q = 1 - (1 - eta / 4) ** R
        return (
            times * 2 * max(1, int(ceil(log(2 / theta) / -log(1 - q**2)))) if q < 1 else times * 2
        )


def iterand_resampling_threshold(eps, delta, d_in, d_out, depth, form):
    cells = 2 * mpf(depth) * d_in * d_out / mpf(delta)
    if form == "printed":
        return 8 * mpf(depth) * d_in / mpf(eps) * sqrt(d_out * log(cells))
    with mpmath.workdps(300 if min(eps, delta) > 1e-40 else 1000):
        eta = mpf(eps) / (2 * mpf(depth) * d_in * sqrt(mpf(d_out)))
        return log(1 - sqrt(1 - 1 / cells)) / log(1 - eta / 4) if eta < 4 else mpf(1)


def iterand_event_probability(w, eps, d, R):
    with mpmath.workdps(200 if eps > 1e-20 else 1500):
        pu, cells = min(mpf(eps) / 4, mpf(1)), mpf(eps) / 2

        def half(x):
            pv = (min(x + cells, mpf(1)) - max(x - cells, mpf(-1))) / 2
            return 1 - (1 - (1 - (1 - pu) ** R) * (1 - (1 - pv) ** R)) ** (d // 2)

        return half(mpf(w)) * half(-mpf(w))
