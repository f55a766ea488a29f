"""What statements are tried on: random MDPs, problems with a policy, a bandit, and data of them with its counts."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from extremal.tabular import FiniteMDP, policy_evaluation, random_mdp
from extremal.tabular.conservative_bounds import sampling_error
from extremal.tabular.sampling import Logged, counts, empirical

SEEDS = st.integers(0, 2**32 - 1)
every = settings(max_examples=25, deadline=None, derandomize=True)
STATES, ACTIONS, LIVE = 5, 3, slice(0, 4)  # the last state is terminal
FAILURE = 0.05


for_all = settings(max_examples=20, deadline=None, derandomize=True)


def mdps(*, discounts=(0.5, 0.7, 0.9), support=4, terminal=1):
    """Random MDPs of 2 to 6 states and 2 to 4 actions, of which the behaviour takes up to `support` in a state."""
    return st.builds(
        random_mdp,
        st.integers(2, 6),
        st.integers(2, 4),
        seed=st.integers(0, 10**6),
        discount=st.sampled_from(discounts),
        support=st.integers(1, support),
        branching=st.integers(1, 3),
        terminal=st.integers(0, terminal),
    )


def problem(seed, discount=0.9):
    """A random MDP and a random policy of full support."""
    mdp = random_mdp(STATES, ACTIONS, seed=seed, terminal=1, discount=discount)
    return mdp, np.random.default_rng(seed).dirichlet(np.ones(ACTIONS), STATES)


def drawn(mdp, taken, seed):
    """Data with taken[s, a] independent tries of each pair: its empirical MDP, of the true start."""
    random = np.random.default_rng(seed)
    pairs = np.repeat(np.arange(taken.size), taken.ravel())
    state, action = np.divmod(pairs, mdp.actions)
    to = np.array([random.choice(mdp.states, p=mdp.transition[s, a]) for s, a in zip(state, action, strict=True)])
    reward = mdp.reward[state, action, to] if mdp.reward.ndim == 3 else mdp.reward[state, action]
    ends = np.arange(len(state) + 1)
    log = Logged(state=state, action=action, reward=reward, next_state=to, terminated=mdp.terminal[to], offsets=ends)
    assert (counts(log, mdp.states, mdp.actions) == taken).all()
    return empirical(log, mdp.states, mdp.actions, discount=mdp.discount).replace(start=mdp.start)


def sampled(seed, low=2, high=30):
    """A problem, the empirical MDP of random counts, and the counts."""
    mdp, policy = problem(seed)
    taken = np.random.default_rng([seed, 1]).integers(low, high, (STATES, ACTIONS))
    taken[mdp.terminal] = 0
    return mdp, policy, drawn(mdp, taken, seed), taken


def resolved(mdp, policy, x):
    """(I - discount P^pi)^-1 x for x [S, A]."""
    return policy_evaluation(mdp.replace(reward=np.zeros((mdp.states, mdp.actions))), policy, bonus=x).q


def hoeffding(mdp, taken):
    return sampling_error(taken, reward_bound=np.abs(mdp.reward).max(), discount=mdp.discount, failure=FAILURE)


def bandit(reward, behaviour, discount=0.9):
    """One state, after which it ends."""
    actions = len(reward)
    transition = np.zeros((2, actions, 2))
    transition[..., 1] = 1.0
    return FiniteMDP(
        transition=transition,
        reward=np.array([reward, [0.0] * actions]),
        discount=discount,
        terminal=np.array([False, True]),
        behaviour=np.array([behaviour, [1.0 / actions] * actions]),
    )
