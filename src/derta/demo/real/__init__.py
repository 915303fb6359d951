"""The demo's world taught to a real chat model: which model, in which words, how much of it, and the run."""
