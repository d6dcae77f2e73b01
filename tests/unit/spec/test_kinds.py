"""Kinds of options that are more than a range or a choice."""

import pytest

from sweep.errors import SpecError
from sweep.spec.kinds import Address


@pytest.mark.parametrize(
    "address",
    ["auto", "local", "10.0.0.1:6379", "head:6379", "head.example.org:1", "my_head-2:65535", "[::1]:6379", "4x.de:80"],
)
def test_addresses(address):
    assert Address().check("address", address) == address


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "10.0.0:6379", "1.2.3.4.5:1", "10.0.0.1:0", "::1:6379", "[::1]", "-x:1", "x:", "Auto"]
)
def test_malformed_addresses(address):
    with pytest.raises(SpecError, match=r"`address` must be auto, local or HOST:PORT of the head's GCS, such as 10\.0"):
        Address().check("address", address)


def test_addresses_that_mean_something_else_to_ray():
    for address, instead in (("ray://h:10001", "client is not supported"), ("http://h:8265", "a dashboard takes jobs")):
        with pytest.raises(SpecError, match=instead):
            Address().check("address", address)
