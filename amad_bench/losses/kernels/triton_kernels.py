# pyright: basic, reportUnreachable=false
"""Triton kernels of map losses: softmax, products, divergence, gradient, each over a query row of all heads.

Axes as in maps.py. A program is a row (b, q), its tiles are heads x keys, heads padded to a power of two, 16
at least, as products of tiles need. All numbers are float32, products included (`ieee`: no TF32). What a row
yields is written out and summed over rows elsewhere, in float64: nothing is summed over a whole map here.
t_h, s_g: entries that count, 0 elsewhere; the maps that softmax made are kept whole beside their mask.

    softmax      p = softmax(scale * score + bias) over the keys that may be attended, exactly 0 at others
    products     P_hg = <t_h, s_g>, |t_h|^2, sum t_h, sum s_g, X_g = <s_g, c_g>
    divergence   kl:  m_h = sum_g w_hg s_g,  D_h = sum t_h log(t_h / max(m_h, 1e-12)),  r_h = t_h / m_h
                 mse: D_h = |r_h|^2,  r_h = u_h t_h - sum_g w_hg s_g;   both: R_hg = <r_h, s_g>
    gradient     ds_g = sum_h (A_hg t_h + B_hg r_h) + E_g c_g + F_g,  dscore_g = p_g (ds_g - delta_g)

c_g is s_g itself, or with MEAN the mean of the student's heads. `kl` has r_h = 0 where m_h is at its floor.
"""

import triton
import triton.language as tl

__all__ = ["row_divergence", "row_gradient", "row_products", "softmax_rows"]  # what is launched

FLOOR = tl.constexpr(1e-12)  # maps.EPSILON


@triton.jit
def softmax_rows(
    scores,  # (B, heads, Q, K), contiguous; the maps take their place
    bias,
    mask,
    heads,
    queries,
    keys,
    scale,
    bias_b,
    bias_h,
    bias_q,
    bias_k,
    mask_b,
    mask_q,
    mask_k,
    HAS_BIAS: tl.constexpr,
    HAS_MASK: tl.constexpr,
    HEADS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    b = (tl.program_id(0) // queries).to(tl.int64)
    q = tl.program_id(0) % queries
    h = tl.arange(0, HEADS)
    rows = scores + (b * heads + h) * queries * keys + q * keys
    bias_rows = bias + b * bias_b + h * bias_h + q * bias_q
    mask_row = mask + b * mask_b + q * mask_q
    highest = tl.full([HEADS], float("-inf"), tl.float32)
    total = tl.zeros([HEADS], tl.float32)
    for start in range(0, keys, BLOCK):
        k = start + tl.arange(0, BLOCK)
        there = (h < heads)[:, None] & (k < keys)[None, :]
        x = tl.load(rows[:, None] + k[None, :], mask=there, other=0.0) * scale
        if HAS_BIAS:
            x += tl.load(bias_rows[:, None] + (k * bias_k)[None, :], mask=there, other=0.0).to(tl.float32)
        if HAS_MASK:
            there = there & (tl.load(mask_row + k * mask_k, mask=k < keys, other=0) != 0)[None, :]
        x = tl.where(there, x, float("-inf"))
        higher = tl.maximum(highest, tl.max(x, 1))
        finite = tl.where(higher == float("-inf"), 0.0, higher)  # a row without a key so far
        total = total * tl.exp(highest - finite) + tl.sum(tl.exp(x - finite[:, None]), 1)
        highest = higher
    highest = tl.where(highest == float("-inf"), 0.0, highest)
    total = tl.where(total == 0.0, 1.0, total)
    for start in range(0, keys, BLOCK):
        k = start + tl.arange(0, BLOCK)
        inside = (h < heads)[:, None] & (k < keys)[None, :]
        x = tl.load(rows[:, None] + k[None, :], mask=inside, other=0.0) * scale
        if HAS_BIAS:
            x += tl.load(bias_rows[:, None] + (k * bias_k)[None, :], mask=inside, other=0.0).to(tl.float32)
        if HAS_MASK:
            open_k = tl.load(mask_row + k * mask_k, mask=k < keys, other=0) != 0
            x = tl.where(open_k[None, :], x, float("-inf"))
        p = tl.exp(x - highest[:, None]) / total[:, None]
        tl.store(rows[:, None] + k[None, :], p, mask=inside)


@triton.jit
def _entries(maps, heads, keys, h, k, entries, entry_k, HAS_ENTRIES: tl.constexpr):
    """Tile (heads, keys) of a row's maps; 0 in entries that do not count, and outside."""
    there = (h < heads)[:, None] & (k < keys)[None, :]
    tile = tl.load(maps[:, None] + k[None, :], mask=there, other=0.0).to(tl.float32)
    if HAS_ENTRIES:
        counts_k = tl.load(entries + k * entry_k, mask=k < keys, other=0) != 0
        tile = tl.where(counts_k[None, :], tile, 0.0)
    return tile


@triton.jit
def _matrix(numbers, first, second, rows, columns, step):
    """Tile of numbers (rows, columns), 0 outside; step: from one row to the next."""
    there = (first < rows)[:, None] & (second < columns)[None, :]
    return tl.load(numbers + first[:, None] * step + second[None, :], mask=there, other=0.0)


@triton.jit
def _remainder(t, s, w, u, MSE: tl.constexpr):
    """r_h and the row's summands of D_h, tiles (heads, keys)."""
    mixture = tl.dot(w, s, input_precision="ieee")
    if MSE:
        r = u[:, None] * t - mixture
        d = r * r
    else:
        # A ratio that underflows to 0 belongs to t = 0, or to no more than 1e-36 of a nat.
        ratio = tl.maximum(t / tl.maximum(mixture, FLOOR), 1.1754944e-38)
        d = t * tl.log(ratio)
        r = tl.where(mixture > FLOOR, ratio, 0.0)
        r = tl.where(t > 0.0, r, 0.0)
    return r, d


@triton.jit
def row_products(
    teacher,
    student,  # (B, G, Q, K), contiguous
    entries,
    P,  # (B, Q, H, G)
    T2,  # (B, Q, H)
    T1,
    X,  # (B, Q, G)
    S1,
    H,
    G,
    queries,
    keys,
    teacher_b,
    teacher_h,
    entry_b,
    entry_q,
    entry_k,
    HAS_ENTRIES: tl.constexpr,
    MEAN: tl.constexpr,
    HEADS: tl.constexpr,
    STUDENTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    b = row // queries
    q = row % queries
    h = tl.arange(0, HEADS)
    g = tl.arange(0, STUDENTS)
    teacher += b * teacher_b + q * keys + h.to(tl.int64) * teacher_h
    student += (b * G + g) * queries * keys + q * keys
    entries += b * entry_b + q * entry_q
    products = tl.zeros([HEADS, STUDENTS], tl.float32)
    t2 = tl.zeros([HEADS], tl.float32)
    t1 = tl.zeros([HEADS], tl.float32)
    x = tl.zeros([STUDENTS], tl.float32)
    s1 = tl.zeros([STUDENTS], tl.float32)
    for start in range(0, keys, BLOCK):
        k = start + tl.arange(0, BLOCK)
        t = _entries(teacher, H, keys, h, k, entries, entry_k, HAS_ENTRIES)
        s = _entries(student, G, keys, g, k, entries, entry_k, HAS_ENTRIES)
        products = tl.dot(t, tl.trans(s), products, input_precision="ieee")
        t2 += tl.sum(t * t, 1)
        t1 += tl.sum(t, 1)
        s1 += tl.sum(s, 1)
        if MEAN:
            x += tl.sum(s * (tl.sum(s, 0) / G)[None, :], 1)
        else:
            x += tl.sum(s * s, 1)
    inside = (h < H)[:, None] & (g < G)[None, :]
    tl.store(P + row * H * G + h[:, None] * G + g[None, :], products, mask=inside)
    tl.store(T2 + row * H + h, t2, mask=h < H)
    tl.store(T1 + row * H + h, t1, mask=h < H)
    tl.store(X + row * G + g, x, mask=g < G)
    tl.store(S1 + row * G + g, s1, mask=g < G)


@triton.jit
def row_divergence(
    teacher,
    student,
    entries,
    W,  # (B, R, H, G)
    U,  # (B, H), read for mse only
    D,  # (B, Q, H)
    R,  # (B, Q, H, G)
    H,
    G,
    queries,
    keys,
    teacher_b,
    teacher_h,
    entry_b,
    entry_q,
    entry_k,
    weight_b,
    weight_q,  # 0: the same weights in all rows
    HAS_ENTRIES: tl.constexpr,
    MSE: tl.constexpr,
    HEADS: tl.constexpr,
    STUDENTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    b = row // queries
    q = row % queries
    h = tl.arange(0, HEADS)
    g = tl.arange(0, STUDENTS)
    teacher += b * teacher_b + q * keys + h.to(tl.int64) * teacher_h
    student += (b * G + g) * queries * keys + q * keys
    entries += b * entry_b + q * entry_q
    w = _matrix(W + b * weight_b + q * weight_q, h, g, H, G, G)
    u = tl.load(U + b * H + h, mask=h < H, other=0.0)
    distance = tl.zeros([HEADS], tl.float32)
    products = tl.zeros([HEADS, STUDENTS], tl.float32)
    for start in range(0, keys, BLOCK):
        k = start + tl.arange(0, BLOCK)
        t = _entries(teacher, H, keys, h, k, entries, entry_k, HAS_ENTRIES)
        s = _entries(student, G, keys, g, k, entries, entry_k, HAS_ENTRIES)
        r, d = _remainder(t, s, w, u, MSE)
        distance += tl.sum(d, 1)
        products = tl.dot(r, tl.trans(s), products, input_precision="ieee")
    inside = (h < H)[:, None] & (g < G)[None, :]
    tl.store(D + row * H + h, distance, mask=h < H)
    tl.store(R + row * H * G + h[:, None] * G + g[None, :], products, mask=inside)


@triton.jit
def row_gradient(
    teacher,
    student,
    gradient,  # (B, G, Q, K), contiguous; may be the student's maps themselves
    entries,
    W,
    U,
    A,  # (B, R, H, G), as W
    B,
    E,  # (B, R, G)
    F,
    delta,  # (B, Q, G)
    H,
    G,
    queries,
    keys,
    teacher_b,
    teacher_h,
    entry_b,
    entry_q,
    entry_k,
    weight_b,
    weight_q,
    HAS_ENTRIES: tl.constexpr,
    MSE: tl.constexpr,
    MEAN: tl.constexpr,
    HEADS: tl.constexpr,
    STUDENTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    b = row // queries
    q = row % queries
    h = tl.arange(0, HEADS)
    g = tl.arange(0, STUDENTS)
    teacher += b * teacher_b + q * keys + h.to(tl.int64) * teacher_h
    offsets = (b * G + g) * queries * keys + q * keys
    entries += b * entry_b + q * entry_q
    weights = b * weight_b + q * weight_q
    w = _matrix(W + weights, h, g, H, G, G)
    u = tl.load(U + b * H + h, mask=h < H, other=0.0)
    to_teacher = tl.trans(_matrix(A + weights, h, g, H, G, G))
    to_remainder = tl.trans(_matrix(B + weights, h, g, H, G, G))
    by_student = weights // H  # E and F lack the axis H
    e = tl.load(E + by_student + g, mask=g < G, other=0.0)
    f = tl.load(F + by_student + g, mask=g < G, other=0.0)
    row_mean = tl.load(delta + row * G + g, mask=g < G, other=0.0)
    for start in range(0, keys, BLOCK):
        k = start + tl.arange(0, BLOCK)
        inside = (g < G)[:, None] & (k < keys)[None, :]
        t = _entries(teacher, H, keys, h, k, entries, entry_k, HAS_ENTRIES)
        p = tl.load(student + offsets[:, None] + k[None, :], mask=inside, other=0.0)
        s = p
        if HAS_ENTRIES:
            counts_k = tl.load(entries + k * entry_k, mask=k < keys, other=0) != 0
            s = tl.where(counts_k[None, :], p, 0.0)
        r, _ = _remainder(t, s, w, u, MSE)
        ds = tl.dot(to_teacher, t, input_precision="ieee")
        ds = tl.dot(to_remainder, r, ds, input_precision="ieee")
        if MEAN:
            ds += e[:, None] * (tl.sum(s, 0) / G)[None, :] + f[:, None]
        else:
            ds += e[:, None] * s + f[:, None]
        if HAS_ENTRIES:
            ds = tl.where(counts_k[None, :], ds, 0.0)
        dscore = p * (ds - row_mean[:, None])
        tl.store(gradient + offsets[:, None] + k[None, :], dscore.to(gradient.dtype.element_ty), mask=inside)
