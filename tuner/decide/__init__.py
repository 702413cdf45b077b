"""The laws: from policy, observation, beliefs and memory to a plan with reasons. Pure."""
