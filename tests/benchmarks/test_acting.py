"""The benchmark of acting compares what acts alike."""

from benchmarks.acting import IN_8_BITS, REFERENCE, acting, difference, measure, policies_of


def test_a_row_a_model_and_the_same_actions_by_both_ways_of_mage() -> None:
    policies = policies_of("cpu")
    rows = measure({name: acting(policy, 2) for name, policy in policies.items()}, seconds=0.01)
    assert [row["model"] for row in rows] == [REFERENCE, "mage", IN_8_BITS, "dt"]
    assert all(row["ms"] > 0 and row["over dt"] > 0 for row in rows)
    assert difference(policies["mage"], policies[REFERENCE], 2) == 0
    other = policies_of("cpu")["mage"]
    for parameter in other.agent.parameters():
        parameter.data.neg_()
    assert difference(policies["mage"], other, 2) != 0
