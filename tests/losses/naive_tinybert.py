"""TinyBERT's two terms as printed, in loops over samples, heads, entries and channels."""


def attention(teacher, student, valid_BQK):
    terms = []
    for b, valid_QK in enumerate(valid_BQK):
        squares = [
            (teacher[b, h, q, k] - student[b, h, q, k]) ** 2
            for h in range(teacher.shape[1])
            for q, k in valid_QK.nonzero().tolist()
        ]
        if squares:
            terms.append(sum(squares) / len(squares))
    return sum(terms) / len(terms)


def hidden_mse(teacher, student, weight, tokens_BL):
    terms = []
    for b, tokens_L in enumerate(tokens_BL):
        squares = []
        for i in tokens_L.nonzero().flatten().tolist():
            for d in range(teacher.shape[2]):
                projected = sum(student[b, i, e] * weight[e, d] for e in range(student.shape[2]))
                squares.append((teacher[b, i, d] - projected) ** 2)
        if squares:
            terms.append(sum(squares) / len(squares))
    return sum(terms) / len(terms)
