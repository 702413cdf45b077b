"""The main job, shown on real input: a badly set stack is loaded, tuned by the operator, and loaded again."""
