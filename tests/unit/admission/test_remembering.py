"""What is remembered of texts that others wrote: the same result again, and a bounded amount of memory, whoever writes how much."""

from __future__ import annotations

import tracemalloc

from cryptography.hazmat.primitives.asymmetric import ec

from router.admission.certificates import judge_pair, read_authorities
from router.admission.client_authorities import judge_authorities
from router.admission.remembering import remembered
from tests.support.certificates import make
from tests.support.client_certificates import revoke


def test_what_was_asked_for_lately_stays() -> None:
    """Whatever does not fit any more is made anew, and texts are told apart wherever one ends and the next begins."""
    made: list[tuple[str, ...]] = []

    @remembered(len, 6_000)
    def joined(*texts: str) -> str:
        made.append(texts)
        return "".join(texts)

    assert joined("ab", "c") == joined("a", "bc") == "abc"
    assert joined("ab", "c") is joined("ab", "c")
    assert made == [("ab", "c"), ("a", "bc")]
    for number in range(100):
        joined("ab", "c")
        joined("x" * 600, str(number))
    assert made.count(("ab", "c")) == 1
    assert len(made) == 102
    joined("x" * 600, "0")
    assert len(made) == 103
    for _ in range(2):
        joined("x" * 10_000)
    assert len(made) == 105


def test_certificates_that_change_all_the_time_take_no_memory() -> None:
    """One namespace that writes the largest fields there are, one after the other, does not fill the router's memory with them; they are 24 MB here."""
    pair = make("db.example.com")
    texts = [f"{number} ".ljust(120_000, ".") for number in range(5)]
    tracemalloc.start()
    try:
        for number in range(200):
            text = f"{texts[number % 5]}{number}\n{pair.pem}"
            assert not isinstance(judge_pair("spec.tls", text, pair.key, ""), str)
            assert isinstance(judge_authorities("a", text), str)
            assert read_authorities(text) == (pair.pem, "")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10_000_000


def test_authorities_of_one_name_are_not_all_tried() -> None:
    """Hundreds of lists times dozens of authorities would stop the router for seconds, at each change of a ConfigMap."""
    key = ec.generate_private_key(ec.SECP521R1())
    authorities = [make("clients", is_authority=True, key=key) for _ in range(40)]
    bundle, lists = "".join(each.pem for each in authorities), revoke(authorities[0]) * 60
    judged = judge_authorities("a", bundle, "lists", lists)
    assert judged == "lists: 40 certificates of authorities have one name; accepted are up to 4"
    few = judge_authorities("a", "".join(each.pem for each in authorities[:4]), "lists", revoke(authorities[3]))
    assert not isinstance(few, str)
    leaf = make("db.example.com", signed_by=authorities[0])
    assert "40 certificates of authorities have one name" in str(judge_pair("spec.tls", leaf.pem, leaf.key, bundle))
