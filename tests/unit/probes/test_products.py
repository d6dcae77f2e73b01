import pytest
import torch

from probes import products, torch_private
from probes.seeds import generator


def gaussian(*shape):
    return torch.randn(*shape, generator=generator(0, "products", *shape))


def close(actual, expected):
    torch.testing.assert_close(actual.double(), expected, atol=4e-6 * float(expected.abs().max()), rtol=0)


# Below and above the size from which oneDNN is taken.
SIZES = [(5, 7, 3), (64, 64, 64), (100, 150, 120), (300, 257, 130)]


@pytest.mark.parametrize(("rows", "inner", "columns"), SIZES)
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_matrix_products(rows, inner, columns, transposed):
    a = gaussian(inner, rows).T if transposed[0] else gaussian(rows, inner)
    b = (gaussian(columns, inner).T if transposed[1] else gaussian(inner, columns)) / inner**0.5
    bias = gaussian(columns)
    exact = a.double() @ b.double()
    close(products.matmul(a, b), exact)
    close(products.affine(a, b, bias), exact + bias.double())
    close(products.affine(a, b, bias, tanh=True), torch.tanh(exact + bias.double()))
    for stack in (1, 3):
        xs, ws, bs = a.expand(stack, -1, -1), b.expand(stack, -1, -1), bias.expand(stack, 1, -1)
        out = torch.empty(stack, rows, columns)
        for product in products.stacked_affine(xs, ws, bs, out, tanh=True):
            close(product, torch.tanh(exact + bias.double()))
        for product in products.stacked_matmul(xs, ws, out):
            close(product, exact)


@pytest.mark.parametrize("rows", [1, 2, 7, 300])
def test_gram_matrix(rows):
    a = gaussian(rows, 500)
    close(products.gram(a), a.double() @ a.double().T)


def test_parts_of_a_transposed_matrix():
    a, b = gaussian(300, 400).T[100:], gaussian(300, 200)
    close(products.matmul(a, b), a.double() @ b.double())


def test_double_precision_stays_double():
    a = gaussian(200, 300).double()
    assert torch.equal(products.matmul(a, a.T), a @ a.T)


def test_without_onednn_the_products_are_torch_s(monkeypatch):
    monkeypatch.setattr(torch_private, "ONEDNN", False)
    a, b = gaussian(200, 300), gaussian(300, 100)
    assert torch.equal(products.matmul(a, b), a @ b)


def test_the_quick_tanh():
    x = torch.linspace(-30, 30, 100_001)
    assert float((products.quick_tanh_(x.clone()) - torch.tanh(x.double())).abs().max()) < 3e-7


def test_the_gradient_of_the_quick_tanh_is_that_of_tanh():
    x = (4 * torch.randn(50, 40, dtype=torch.float64, generator=generator(0, "test"))).requires_grad_()
    d = torch.randn(50, 40, dtype=torch.float64, generator=generator(1, "test"))
    (quick,) = torch.autograd.grad(products.quick_tanh_(x * 1), x, d)
    torch.testing.assert_close(quick, torch.autograd.grad(torch.tanh(x), x, d)[0])
