"""Policy improvement in one page: a theorem, demonstrated on a random decision process.

    python examples/policy_improvement_in_one_page.py

Theorem. Let Q be the value of the data's policy mu, V(s) = E_mu Q(s, a), and pi any policy with E_pi Q(s, a) >= V(s) in
every state. Then V^pi >= V^mu in every state, and the gain is the advantage that pi collects where it goes:

    J(pi) - J(mu) = 1 / (1 - discount) * sum over s, a of d^pi(s, a) (Q(s, a) - V(s))

with d^pi the discounted share of time that pi spends in (s, a). Every offline method is this theorem with a choice of
pi that stays where the data is, and the question of how often to apply it: once (Onestep RL), or until nothing changes.
"""

from __future__ import annotations

import numpy as np

from extremal.tabular import (
    expected_maximum,
    expectile,
    kl_ball,
    log_mean_exp,
    maximum,
    mean,
    occupancy,
    policy_evaluation,
    random_mdp,
    returned,
    value_iteration,
)
from extremal.tabular.operators import policy_of

mdp = random_mdp(40, 6, seed=2, branching=3, discount=0.95)
mu = mdp.behaviour
behaviour = policy_evaluation(mdp, mu)

choices = [
    ("mean (mu itself)", mean, {}),
    ("expectile 0.9", expectile, {"parameter": 0.9}),
    ("log-mean-exp, beta 0.5", log_mean_exp, {"parameter": 0.5}),
    ("best of 2 samples", expected_maximum, {"parameter": 2}),
    ("KL ball, kappa 0.5", kl_ball, {"parameter": 0.5}),
    ("maximum", maximum, {}),
]

print(
    f"from the start, mu earns {returned(mdp, mu):.4f} and the best policy {returned(mdp, value_iteration(mdp).policy):.4f}\n"
)
print(
    f"{'how pi is chosen':<24}"
    + "".join(f"{head:>12}" for head in ("one step", "by theorem", "repeated", "KL from mu"))
)

for name, operator, parameter in choices:
    # One step: the operator's own policy, on mu's values.
    pi = policy_of(operator)(behaviour.q, mu, **parameter)
    once = policy_evaluation(mdp, pi)
    assert (once.v >= behaviour.v - 1e-12).all(), "the theorem: no state is worse off"

    advantage = behaviour.q - behaviour.v[:, None]
    gain = (occupancy(mdp, pi) * advantage).sum() / (1.0 - mdp.discount)
    assert abs(returned(mdp, pi) - returned(mdp, mu) - gain) < 1e-12, "the identity, to rounding"

    # Repeated: the policy of the operator's own fixed point. It earns at least what the single step does.
    again = value_iteration(mdp, operator, **parameter).policy
    assert returned(mdp, again) >= returned(mdp, pi) - 1e-9, "here, more steps improve more"

    divergence = (occupancy(mdp, pi) * np.log(np.where(pi > 0, pi / mu, 1.0))).sum()
    figures = (returned(mdp, pi), returned(mdp, mu) + gain, returned(mdp, again), divergence)
    print(f"{name:<24}" + "".join(f"{figure:>12.4f}" for figure in figures))
